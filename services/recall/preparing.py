"""R13: preparing one batch of an all-or-nothing recall: its shard says whether all copies qualify, and keeps it so."""

from datetime import datetime

from mailrecall import faultpoints, logs
from mailrecall.faultpoints import Commit
from mailrecall.mailstore.preparation import Prepared, prepare
from mailrecall.outbox import store as outbox
from mailrecall.recalls import all_or_nothing, progress
from mailrecall.recalls.decisions import Attempt
from mailrecall.settings import Settings
from mailrecall.wiring import Process

log = logs.get(__name__)


def prepare_batch(
    process: Process[Settings], *, recall_id: int, batch: int, shard: int, work_id: int, now: datetime
) -> None:
    """Prepare one batch. The last one to be ready decides that all go, any that is refused that all stay."""
    with process.databases.control() as connection:
        planned = progress.batch_to_withdraw(connection, recall_id, batch)
        if planned is None:
            raise LookupError(f"Recall {recall_id} has no batch {batch}.")
        if planned.waits_for_undo:
            outbox.put_off(connection, work_id, "WaitsForTheUndo", due_at=now + progress.UNTIL_UNDONE)
            return
    prepared = Prepared.OVER
    if planned.state == "pending" and planned.verdict is None:
        with process.databases.shard(shard) as connection:
            prepared = prepare(connection, planned.as_batch(recall_id, batch), now=now)
            faultpoints.before(Commit.PREPARE)
        faultpoints.after(Commit.PREPARE)
        log.info("recall.batch_prepared", recall_id=recall_id, batch=batch, shard=shard, prepared=prepared.value)
    verdict = None
    with process.databases.control() as connection:
        if prepared is not Prepared.OVER:
            attempt = Attempt(recall_id, planned.attempt)
            qualifies = prepared is Prepared.READY
            verdict = all_or_nothing.record_prepared(connection, attempt, batch, shard, qualifies=qualifies, now=now)
        elif planned.state == "unreachable":
            # an earlier run of this may have died after its shard, with copies marked that were let go before
            all_or_nothing.let_go_again(connection, recall_id, batch, shard, now=now)
        outbox.finish(connection, work_id)
        faultpoints.before(Commit.PREPARE_RECORD)
    faultpoints.after(Commit.PREPARE_RECORD)
    if verdict is not None:
        faultpoints.after(Commit.DECIDE)
