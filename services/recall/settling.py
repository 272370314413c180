"""Settling: all batches are done, the counts are added up, the report is due."""

from datetime import datetime

from mailrecall import faultpoints, logs
from mailrecall.domain.recalls import result_of
from mailrecall.faultpoints import Commit
from mailrecall.metrics import instruments
from mailrecall.outbox import store as outbox
from mailrecall.recalls import progress
from mailrecall.recalls.views import RecallView
from mailrecall.settings import Settings
from mailrecall.wiring import Process

log = logs.get(__name__)


def settle_recall(process: Process[Settings], *, recall_id: int, work_id: int, now: datetime) -> None:
    """Settle a recall that has no batch left to do it; a second time changes nothing."""
    with process.databases.control() as connection:
        settled = progress.settle(connection, recall_id, now=now)
        outbox.finish(connection, work_id)
        if settled is not None:
            faultpoints.before(Commit.SETTLE)
    if settled is not None:
        faultpoints.after(Commit.SETTLE)
        tell(settled, now=now)


def tell(settled: RecallView, *, now: datetime) -> None:
    """Log and count a recall once its settlement is committed."""
    tally = settled.tally
    seconds = (now - settled.requested_at).total_seconds()
    instruments.recall_settled(result_of(tally).value, tally.as_slugs(), seconds)
    log.info("recall.settled", recall_id=settled.id, **tally.as_slugs())
