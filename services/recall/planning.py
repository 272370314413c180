"""The plan of a recall: one batch for each delivery batch of its message."""

from datetime import datetime

from mailrecall import faultpoints, logs
from mailrecall.directory.placement import hold_still
from mailrecall.domain.recalls import State
from mailrecall.faultpoints import Commit
from mailrecall.messages.expansion import expand
from mailrecall.outbox import store as outbox
from mailrecall.recalls import progress
from mailrecall.settings import Settings
from mailrecall.wiring import Process

log = logs.get(__name__)


def plan_recall(process: Process[Settings], *, recall_id: int, work_id: int, now: datetime) -> None:
    """Plan a recall. A message not yet expanded is expanded here: its deposits will find themselves recalled (R16)."""
    with process.databases.control() as connection:
        hold_still(connection)  # what is planned are the batches as they lie now
        message_id = progress.message_of(connection, recall_id)
        # the message before its recall, as whoever asks for the recall again locks them
        expand(connection, message_id, batch_size=process.settings.batch_size, now=now)
        locked = progress.lock_for_plan(connection, recall_id)
        if locked is not None and locked[1] is State.ACCEPTED:
            batches = progress.plan(connection, recall_id, message_id, now=now)
            log.info("recall.planned", recall_id=recall_id, message_id=message_id, batches=batches)
        outbox.finish(connection, work_id)
        faultpoints.before(Commit.PLAN)
    faultpoints.after(Commit.PLAN)
