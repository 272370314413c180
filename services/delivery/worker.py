"""The delivery worker: `celery -A services.delivery.worker worker -Q delivery,deposit.0,…`."""

from datetime import datetime

from mailrecall.broker import celery_app
from mailrecall.messages import delivery
from mailrecall.outbox import store as outbox
from mailrecall.outbox.running import close_with_worker, register
from mailrecall.outbox.work import Task
from mailrecall.settings import Settings
from mailrecall.wiring import Process, bootstrap_worker
from services.delivery.depositing import deposit_batch, file_author_copy
from services.delivery.expansion import bounce_undeliverable, expand_message
from services.delivery.forwarding import forward_message
from services.delivery.relaying import relay


def relay_message(process: Process[Settings], *, message_id: int, work_id: int, now: datetime) -> None:
    """Hand a message to the smarthost for its external recipients."""
    relay(process.databases, process.settings, message_id, now=now)
    with process.databases.control() as connection:
        delivery.record_relay(connection, message_id, now=now)
        outbox.finish(connection, work_id)


process = bootstrap_worker(Settings, "delivery")
app = celery_app("delivery", process.settings)
register(app, process, Task.EXPAND, expand_message)
register(app, process, Task.BOUNCE, bounce_undeliverable)
register(app, process, Task.DEPOSIT, deposit_batch)
register(app, process, Task.FILE_AUTHOR_COPY, file_author_copy)
register(app, process, Task.RELAY, relay_message)
register(app, process, Task.FORWARD, forward_message)
close_with_worker(process)
