"""The delivery worker: `celery -A services.delivery.worker worker -Q delivery,deposit.0,…`."""

from mailrecall.broker import celery_app
from mailrecall.outbox.running import close_with_worker, register
from mailrecall.outbox.work import Task
from mailrecall.settings import Settings
from mailrecall.wiring import bootstrap_worker
from services.delivery.depositing import deposit_batch, file_author_copy
from services.delivery.expansion import bounce_undeliverable, expand_message
from services.delivery.forwarding import forward_message
from services.delivery.relaying import relay_message

process = bootstrap_worker(Settings, "delivery")
app = celery_app("delivery", process.settings)
register(app, process, Task.EXPAND, expand_message)
register(app, process, Task.BOUNCE, bounce_undeliverable)
register(app, process, Task.DEPOSIT, deposit_batch)
register(app, process, Task.FILE_AUTHOR_COPY, file_author_copy)
register(app, process, Task.RELAY, relay_message)
register(app, process, Task.FORWARD, forward_message)
close_with_worker(app, process)
