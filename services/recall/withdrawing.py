"""Withdrawing one batch: the shard decides, deletes and writes down; then the control database gets the counts.

The last batch settles the recall.
"""

from datetime import datetime, timedelta
from functools import partial
from time import monotonic

from mailrecall import faultpoints, logs
from mailrecall.domain.recalls import Verdict
from mailrecall.faultpoints import Commit
from mailrecall.mailstore import withdrawal
from mailrecall.mailstore.batch import Batch
from mailrecall.mailstore.residence import MailboxMovedError
from mailrecall.mailstore.withdrawal import Counts
from mailrecall.outbox import store as outbox
from mailrecall.recalls import progress
from mailrecall.recalls.progress import PlannedBatch
from mailrecall.settings import Settings
from mailrecall.shards.moving import mend
from mailrecall.wiring import Process
from services.recall.notices import notice_for
from services.recall.settling import tell

log = logs.get(__name__)


def withdraw_batch(
    process: Process[Settings], *, recall_id: int, batch: int, shard: int, work_id: int, now: datetime
) -> None:
    """Withdraw one batch. A run that dies between the two databases leaves the shard's ledger for the next one."""
    began = monotonic()
    with process.databases.control() as connection:
        planned = progress.batch_to_withdraw(connection, recall_id, batch)
        if planned is None:
            raise LookupError(f"Recall {recall_id} has no batch {batch}.")
        if planned.waits_for_undo:
            outbox.put_off(connection, work_id, "WaitsForTheUndo", due_at=now + progress.UNTIL_UNDONE)
            return
        notice = notice_for(connection, planned, process.settings)
    try:
        counts = _carry_out(process, planned.as_batch(recall_id, batch, notice), planned, shard, now=now)
    except MailboxMovedError:
        # those who moved without a trace of this message go on in a batch of their own; this one is tried again
        mend(process.databases, planned.message_id, batch, now=now)
        raise
    if counts is not None:
        log.info("recall.batch_withdrawn", recall_id=recall_id, batch=batch, shard=shard, recipients=planned.recipients)
    # by now the shard has committed, which is the moment people are told of; `now` is when it was asked
    counted_at = now + timedelta(seconds=monotonic() - began)
    settled = None
    with process.databases.control() as connection:
        record = partial(progress.record_batch, connection, recall_id, batch, attempt=planned.attempt)
        if counts is not None and record(counts, now=counted_at):
            # at once, and not by way of the broker: who waits for the result waits for this
            settled = progress.settle(connection, recall_id, now=counted_at)
        outbox.finish(connection, work_id)
        if settled is not None:
            faultpoints.before(Commit.SETTLE)
        faultpoints.before(Commit.RECORD)
    faultpoints.after(Commit.RECORD)
    if settled is not None:
        faultpoints.after(Commit.SETTLE)
        tell(settled, now=counted_at)


def _carry_out(
    process: Process[Settings], todo: Batch, planned: PlannedBatch, shard: int, *, now: datetime
) -> Counts | None:
    """Do on the shard what there is to be done; returns the counts, None where there is nothing to count."""

    def recipients() -> tuple[list[int], list[int]]:
        with process.databases.control() as control:
            return progress.recipients_of_batch(control, todo.recall_id, todo.batch)

    released = planned.verdict is Verdict.RELEASE
    # `assumed` was counted without the shard's word (R16), which is still wanted
    if planned.state in ("pending", "assumed"):
        if todo.all_or_nothing and planned.verdict is None:
            return None  # another attempt has begun (R13): this work is of the one before
        with process.databases.shard(shard) as connection:
            carry_out = withdrawal.release if released else withdrawal.withdraw
            counts = carry_out(connection, todo, recipients, now=now)
            faultpoints.before(Commit.RELEASE if released else Commit.WITHDRAW)
        faultpoints.after(Commit.RELEASE if released else Commit.WITHDRAW)
        return counts
    if released and planned.state == "unreachable":
        with process.databases.shard(shard) as connection:
            withdrawal.let_go(connection, todo, now=now)
            faultpoints.before(Commit.RELEASE)
        faultpoints.after(Commit.RELEASE)
    return None
