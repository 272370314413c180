"""How every task runs: once its work is found open, with its failure recorded where the reconciler can see it."""

from collections.abc import Callable

import psycopg
from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

from mailrecall import clock, logs
from mailrecall.outbox import store as outbox
from mailrecall.outbox.work import Task
from mailrecall.settings import Settings
from mailrecall.wiring import Process

log = logs.get(__name__)


UseCase = Callable[..., None]
"""What a task does: a process, the work's ids, `work_id` and `now` in, state in the databases out. It is safe to run
twice, late, or after a run that died half-way, and ends by finishing `work_id` in its last transaction."""


def register(app: Celery, process: Process[Settings], task: Task, use_case: UseCase) -> None:
    """Make a use case a Celery task.

    A task delivered a second time finds its work closed and returns. One that fails has the failure written to its
    outbox row, which is published again after a pause, and shows as failed in Flower.
    """

    @app.task(name=task.value)
    def run(work_id: int, **ids: int) -> None:
        with process.databases.control() as connection:
            if not outbox.is_open(connection, work_id):
                log.debug("work.already_done", task=task.value, work_id=work_id, **ids)
                return
        try:
            use_case(process, work_id=work_id, now=clock.now(), **ids)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is recorded and raised
            _record_failure(process, task, work_id, error, ids)
            # Celery logs and shows what a task raises: neither the error's text nor its cause may be in it
            raise WorkFailedError(logs.kind_of(error)) from None


class WorkFailedError(Exception):
    """A task failed; the message is the kind of error and no more."""


_PASSING = ("08", "53300", "57P01", "57P02", "57P03", "40001", "40P01", "55P03")
"""SQLSTATEs of a server that is away, full, stopping or starting, and of transactions that only need another try. A
statement that ran out of time (57014), a full disk and too little memory are not: they can be the work's own doing."""


def is_outage(error: Exception) -> bool:
    """Tell whether a database, the broker or another host did not answer, so that the work cannot be to blame."""
    if isinstance(error, psycopg.OperationalError):
        return error.sqlstate is None or error.sqlstate.startswith(_PASSING)
    return isinstance(error, OSError)


def _record_failure(
    process: Process[Settings], task: Task, work_id: int, error: Exception, ids: dict[str, int]
) -> None:
    facts = {"task": task.value, "work_id": work_id, **logs.describe(error), **ids}
    try:
        with process.databases.control() as connection:
            dead = outbox.fail(
                connection,
                work_id,
                logs.kind_of(error),
                outage=is_outage(error),
                most=process.settings.outbox_failures,
                now=clock.now(),
            )
    except psycopg.Error:
        # the lease runs out instead, and the reconciler publishes the work again
        log.warning("work.failure_not_recorded", **facts)
        return
    if dead:
        log.error("work.put_aside", **facts)
    else:
        log.warning("work.failed", **facts)


def close_with_worker(process: Process[Settings]) -> None:
    """Give each forked child of a worker connections of its own, and close them when it ends."""

    @worker_process_init.connect(weak=False)
    def forget_inherited(**_: object) -> None:
        process.databases.forget()

    @worker_process_shutdown.connect(weak=False)
    def close(**_: object) -> None:
        process.databases.close()
