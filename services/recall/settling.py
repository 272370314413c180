"""Settling: all batches are done, the counts are added up, the report is due."""

from datetime import datetime

from mailrecall import logs
from mailrecall.outbox import store as outbox
from mailrecall.recalls import progress
from mailrecall.settings import Settings
from mailrecall.wiring import Process

log = logs.get(__name__)


def settle_recall(process: Process[Settings], *, recall_id: int, work_id: int, now: datetime) -> None:
    """Settle a recall; a second time changes nothing."""
    with process.databases.control() as connection:
        tally = progress.settle(connection, recall_id, now=now)
        outbox.finish(connection, work_id)
    if tally is not None:
        log.info("recall.settled", recall_id=recall_id, **tally.as_slugs())
