"""R26: putting one batch back: the shard restores from its ledger, then the control database gets the counts."""

from datetime import datetime, timedelta

from mailrecall import faultpoints, logs
from mailrecall.faultpoints import Commit
from mailrecall.mailstore.residence import MailboxMovedError
from mailrecall.mailstore.restoration import MessageMissingError, Restored, WithdrawnBatch, restore
from mailrecall.outbox import store as outbox
from mailrecall.recalls import progress, undoing
from mailrecall.settings import Settings
from mailrecall.shards.carrying import bring_message
from mailrecall.shards.moving import mend
from mailrecall.wiring import Process

log = logs.get(__name__)

_LOOK_AGAIN = timedelta(seconds=2)


def restore_batch(
    process: Process[Settings], *, recall_id: int, batch: int, shard: int, work_id: int, now: datetime
) -> None:
    """Put one batch back. A run that dies between the two databases leaves the shard's counts for the next one."""
    with process.databases.control() as connection:
        todo = undoing.batch_to_restore(connection, recall_id, batch)
        if todo is None:
            raise LookupError(f"The undo of recall {recall_id} has no batch {batch}.")
        if todo.done:
            outbox.finish(connection, work_id)
            return
        if not todo.ready:
            outbox.put_off(connection, work_id, "WaitsForItsShard", due_at=now + _LOOK_AGAIN)
            return

    def recipients() -> tuple[list[int], list[int]]:
        with process.databases.control() as control:
            return progress.recipients_of_batch(control, recall_id, batch)

    withdrawn = WithdrawnBatch(
        recall_id=recall_id,
        batch=batch,
        message_id=todo.message_id,
        first=todo.first,
        last=todo.last,
        closed=todo.closed,
        notice_id=todo.notice_id,
        out_of_scope=todo.out_of_scope,
        attempt=todo.attempt,
    )

    def put_back() -> Restored:
        with process.databases.shard(shard) as connection:
            restored = restore(connection, withdrawn, recipients, now=now)
            faultpoints.before(Commit.RESTORE)
            return restored

    try:
        try:
            restored = put_back()
        except MessageMissingError:
            # mailboxes that moved did not always take a message along of which they had no trace
            if not bring_message(process.databases, todo.message_id, shard):
                raise
            restored = put_back()
    except MailboxMovedError:
        # those who moved without a trace of this message go on in a batch of their own; this one is tried again
        mend(process.databases, todo.message_id, batch, now=now)
        raise
    faultpoints.after(Commit.RESTORE)
    log.info("recall.batch_restored", recall_id=recall_id, batch=batch, shard=shard, restored=restored.restored)
    with process.databases.control() as connection:
        complete = undoing.record_batch(connection, recall_id, batch, restored, now=now)
        outbox.finish(connection, work_id)
        faultpoints.before(Commit.RESTORE_RECORD)
    faultpoints.after(Commit.RESTORE_RECORD)
    if complete:
        log.info("recall.undone", recall_id=recall_id)
