"""The recall worker and its beat: `celery -A services.recall.worker worker -Q recall,reconcile,withdraw.0,…`."""

from celery.signals import worker_ready

from mailrecall import clock
from mailrecall.broker import celery_app
from mailrecall.metrics import instruments
from mailrecall.outbox.running import close_with_worker, register
from mailrecall.outbox.work import Queue, Task
from mailrecall.settings import Settings
from mailrecall.wiring import bootstrap_worker
from services.recall.planning import plan_recall
from services.recall.preparing import prepare_batch
from services.recall.purging import purge
from services.recall.reconciling import reconcile
from services.recall.requesting import admit_request
from services.recall.restoring import restore_batch
from services.recall.settling import settle_recall
from services.recall.ticking import tick
from services.recall.withdrawing import withdraw_batch

process = bootstrap_worker(Settings, "recall")
app = celery_app(
    "recall",
    process.settings,
    beat_schedule={
        "reconcile": {
            "task": Task.RECONCILE.value,
            "schedule": process.settings.reconcile_every,
            # a tick that waited longer than a few others is of no use
            "options": {"queue": Queue.RECONCILE, "expires": 3 * process.settings.reconcile_every},
        },
        "purge": {
            "task": Task.PURGE.value,
            "schedule": process.settings.purge_every,
            # not among the reconciler's: a purge takes its time
            "options": {"queue": Queue.RECALL, "expires": process.settings.purge_every},
        },
    },
)
register(app, process, Task.ADMIT, admit_request)
register(app, process, Task.PLAN, plan_recall)
register(app, process, Task.PREPARE, prepare_batch)
register(app, process, Task.WITHDRAW, withdraw_batch)
register(app, process, Task.SETTLE, settle_recall)
register(app, process, Task.RESTORE, restore_batch)
close_with_worker(app, process)


@worker_ready.connect(weak=False)
def show_outcomes(**_: object) -> None:
    """Let the first recalls that settle be seen to have done so."""
    instruments.outcomes_begin()


# every few seconds: shown in Flower it would hide what happens
@app.task(name=Task.RECONCILE.value, send_events=False)
def reconcile_now() -> None:
    """Beat's task: it has no outbox row, the next tick is its retry."""
    tick(process, reconcile, now=clock.now())


@app.task(name=Task.PURGE.value)
def purge_now() -> None:
    """R26: beat's task, as above: what one run leaves is the next one's."""
    tick(process, purge, now=clock.now())
