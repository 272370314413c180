"""Turning an accepted message's envelope into delivery batches."""

from datetime import datetime

from mailrecall import faultpoints, logs
from mailrecall.faultpoints import Commit
from mailrecall.messages.expansion import expand, undeliverable
from mailrecall.outbox import store as outbox
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.delivery.bouncing import bounce_for

log = logs.get(__name__)


def expand_message(process: Process[Settings], *, message_id: int, work_id: int, now: datetime) -> None:
    """Expand a message; a second time changes nothing."""
    with process.databases.control() as connection:
        expansion = expand(connection, message_id, batch_size=process.settings.batch_size, now=now)
        outbox.finish(connection, work_id)
        faultpoints.before(Commit.EXPAND)
    faultpoints.after(Commit.EXPAND)
    if expansion:
        log.info("delivery.expanded", message_id=message_id, batches=expansion.batches, externals=expansion.externals)


def bounce_undeliverable(process: Process[Settings], *, message_id: int, work_id: int, now: datetime) -> None:
    """Tell the sender of addressees who closed between acceptance and expansion; a second time changes nothing."""
    with process.databases.control() as connection:
        # first, for only the work's own row can tell a second run that the sender was told
        if outbox.finish(connection, work_id):
            failures = dict.fromkeys(undeliverable(connection, message_id), "550 5.1.1 The mailbox was closed")
            bounce_for(connection, message_id, failures, now=now, hostname=process.settings.hostname)
        faultpoints.before(Commit.BOUNCE)
    faultpoints.after(Commit.BOUNCE)
