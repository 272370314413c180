"""The recall worker and its beat: `celery -A services.recall.worker worker -Q recall,reconcile,withdraw.0,…`."""

from mailrecall import clock
from mailrecall.broker import celery_app
from mailrecall.outbox.running import close_with_worker, register
from mailrecall.outbox.work import Queue, Task
from mailrecall.settings import Settings
from mailrecall.wiring import bootstrap_worker
from services.recall.planning import plan_recall
from services.recall.reconciling import reconcile
from services.recall.settling import settle_recall
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
        }
    },
)
register(app, process, Task.PLAN, plan_recall)
register(app, process, Task.WITHDRAW, withdraw_batch)
register(app, process, Task.SETTLE, settle_recall)
close_with_worker(process)


@app.task(name=Task.RECONCILE.value)
def reconcile_now() -> None:
    """Beat's task: it has no outbox row, the next tick is its retry."""
    reconcile(process, now=clock.now())
