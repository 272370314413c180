"""R13: preparing one batch of an all-or-nothing recall: its shard says whether all copies qualify, and keeps it so."""

from datetime import datetime, timedelta

from mailrecall import faultpoints, logs
from mailrecall.faultpoints import Commit
from mailrecall.mailstore.preparation import Prepared, carried_out, prepare
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
    prepared, done = Prepared.OVER, None
    if planned.state == "pending" and planned.verdict is None:
        with process.databases.shard(shard) as connection:
            todo = planned.as_batch(recall_id, batch)
            prepared = prepare(connection, todo, now=now)
            if prepared is Prepared.OVER:
                done = carried_out(connection, todo)
            faultpoints.before(Commit.PREPARE)
        faultpoints.after(Commit.PREPARE)
        log.info("recall.batch_prepared", recall_id=recall_id, batch=batch, shard=shard, prepared=prepared.value)
    if done is not None and done.verdict is None and done.attempt == planned.attempt:
        prepared = Prepared.READY  # nothing there speaks against: the batch goes along with whatever is decided
    verdict = None
    with process.databases.control() as connection:
        if done is not None and done.verdict is not None:
            # mostly the decision has come in between; else it was forgotten here, and the shard tells what it was
            deadline_at = now + timedelta(seconds=process.settings.recall_deadline)
            told = Attempt(recall_id, done.attempt)
            verdict = all_or_nothing.remember(connection, told, done.verdict, deadline_at=deadline_at, now=now)
        elif prepared is not Prepared.OVER:
            attempt = Attempt(recall_id, planned.attempt)
            qualifies = prepared is Prepared.READY
            marked = prepared is not Prepared.REFUSED
            verdict = all_or_nothing.record_prepared(
                connection, attempt, batch, shard, qualifies=qualifies, marked=marked, now=now
            )
        elif planned.state == "unreachable":
            # an earlier run of this may have died after its shard, with copies marked that were let go before
            all_or_nothing.let_go_again(connection, recall_id, batch, shard, now=now)
        outbox.finish(connection, work_id)
        faultpoints.before(Commit.PREPARE_RECORD)
    faultpoints.after(Commit.PREPARE_RECORD)
    if verdict is not None:
        faultpoints.after(Commit.DECIDE)
