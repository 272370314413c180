"""The reports worker: `celery -A services.reports.worker worker -Q reports`."""

from mailrecall.broker import celery_app
from mailrecall.outbox.running import close_with_worker, register
from mailrecall.outbox.work import Task
from mailrecall.settings import Settings
from mailrecall.wiring import bootstrap_worker
from services.reports.summarising import write_reports

process = bootstrap_worker(Settings, "reports")
app = celery_app("reports", process.settings)
register(app, process, Task.SUMMARISE, write_reports)
close_with_worker(app, process)
