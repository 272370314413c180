"""How every task runs: once its work is found open, with its failure recorded where the reconciler can see it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any

import psycopg
from celery import Celery, bootsteps
from celery.signals import worker_process_init, worker_process_shutdown
from opentelemetry.trace import SpanKind
from structlog.contextvars import bound_contextvars

from mailrecall import clock, heartbeat, logs, tracing
from mailrecall.metrics import instruments, serving
from mailrecall.outbox import store as outbox
from mailrecall.outbox.store import Standing
from mailrecall.outbox.work import TRACE_HEADER, VERSION_HEADER, Task, TooNewError, upgraded
from mailrecall.settings import Settings
from mailrecall.wiring import Process

log = logs.get(__name__)

_TOO_NEW_PAUSE = timedelta(seconds=2)
"""Until work that is for newer workers is published again: by then one of them may be free."""

UseCase = Callable[..., None]
"""What a task does: a process, the work's ids, `work_id` and `now` in, state in the databases out. It is safe to run
twice, late, or after a run that died half-way, and ends by finishing `work_id` in its last transaction."""


def register(app: Celery, process: Process[Settings], task: Task, use_case: UseCase) -> None:
    """Make a use case a Celery task.

    A task delivered a second time finds its work closed and returns. One that fails has the failure written to its
    outbox row, which is published again after a pause, and shows as failed in Flower. Tries in a row that took
    their workers with them count as one that failed. One that a newer version wrote
    is put off, until a worker of that version gets it.
    """

    @app.task(name=task.value, bind=True)
    def run(self: Any, /, work_id: int, **ids: int) -> None:
        headers = self.request.headers or {}
        facts = {**ids, "work_id": work_id}
        with (
            tracing.span(task.value, kind=SpanKind.CONSUMER, parent=headers.get(TRACE_HEADER), attributes=facts),
            bound_contextvars(task=task.value, **facts, **_traced()),
        ):
            redelivered = bool((self.request.delivery_info or {}).get("redelivered"))
            run = _Run(process, task, use_case, work_id, redelivered)
            run.once(int(headers.get(VERSION_HEADER, 1)), ids)


def _traced() -> dict[str, str]:
    trace_id = tracing.trace_id()
    return {"trace_id": trace_id} if trace_id else {}


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of a task."""

    process: Process[Settings]
    task: Task
    use_case: UseCase
    work_id: int
    redelivered: bool

    def once(self, version: int, ids: Mapping[str, int]) -> None:
        with self.process.databases.control() as connection:
            standing = outbox.begin(
                connection,
                self.work_id,
                redelivered=self.redelivered,
                # as long as a server lets a transaction stand still
                patience=3 * self.process.settings.statement_timeout,
                now=clock.now(),
            )
        if standing is Standing.CLOSED:
            log.debug("work.already_done")
            return
        began = monotonic()
        ended = "failed"
        try:
            self._carry_out(standing, version, ids)
            ended = "done"
        except TooNewError:
            ended = "too_new"
            self._leave_to_newer(version)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is recorded and raised
            ended = "outage" if is_outage(error) else "failed"
            self._record_failure(error)
            # Celery logs and shows what a task raises: neither the error's text nor its cause may be in it
            raise WorkFailedError(logs.kind_of(error)) from None
        finally:
            instruments.task_ended(self.task.value, ended, monotonic() - began)

    def _carry_out(self, standing: Standing, version: int, ids: Mapping[str, int]) -> None:
        if standing is Standing.UNENDED:
            # nothing runs now: the work is tried again after a pause, or put aside, as if it had failed by itself
            raise WorkerLostError
        arguments = upgraded(self.task, version, ids)
        self.use_case(self.process, work_id=self.work_id, now=clock.now(), **arguments)

    def _leave_to_newer(self, version: int) -> None:
        now = clock.now()
        with self.process.databases.control() as connection:
            outbox.put_off(connection, self.work_id, TooNewError.__name__, due_at=now + _TOO_NEW_PAUSE)
        log.info("work.too_new", version=version)

    def _record_failure(self, error: Exception) -> None:
        facts = logs.describe(error)
        try:
            with self.process.databases.control() as connection:
                dead = outbox.fail(
                    connection,
                    self.work_id,
                    logs.kind_of(error),
                    outage=is_outage(error),
                    most=self.process.settings.outbox_failures,
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


class WorkerLostError(Exception):
    """Earlier tries took their workers with them, without a word: killed, or out of memory."""


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


def close_with_worker(app: Celery, process: Process[Settings]) -> None:
    """Give each forked child of a worker connections of its own until it ends; serve its numbers and health."""

    @worker_process_init.connect(weak=False)
    def forget_inherited(**_: object) -> None:
        process.databases.forget()
        tracing.configure(process.settings, process.name)

    @worker_process_shutdown.connect(weak=False)
    def close(**_: object) -> None:
        process.databases.close()
        tracing.flush()

    class ServeMetrics(bootsteps.StartStopStep):
        # after the children were forked, which must not inherit a thread's locks, and before the broker is reached: one
        # that starts in an outage is alive
        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:  # noqa: ARG002 - Celery's signature
            heartbeat.touch(process.settings)
            serving.start(process.settings, linked=lambda: heartbeat.linked(serving.STALE_AFTER))

    app.steps["worker"].add(ServeMetrics)
