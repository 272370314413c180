"""Withdrawing one batch: the shard decides, deletes and writes down; then the control database gets the counts."""

from datetime import datetime

from mailrecall import logs
from mailrecall.mailstore.withdrawal import Batch, withdraw
from mailrecall.outbox import store as outbox
from mailrecall.recalls import progress
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.recall.notices import notice_for

log = logs.get(__name__)


def withdraw_batch(
    process: Process[Settings], *, recall_id: int, batch: int, shard: int, work_id: int, now: datetime
) -> None:
    """Withdraw one batch. A run that dies between the two databases leaves the shard's ledger for the next one."""
    with process.databases.control() as connection:
        planned = progress.batch_to_withdraw(connection, recall_id, batch)
        if planned is None:
            raise LookupError(f"Recall {recall_id} has no batch {batch}.")
        notice = notice_for(connection, planned, process.settings)
    # `assumed` was counted without the shard's word (R16), which is still wanted
    if planned.state in ("pending", "assumed"):

        def recipients() -> tuple[list[int], list[int]]:
            with process.databases.control() as control:
                return progress.recipients_of_batch(control, recall_id, batch)

        todo = Batch(
            recall_id=recall_id,
            batch=batch,
            message_id=planned.message_id,
            first=planned.first,
            last=planned.last,
            recipients=planned.recipients,
            out_of_scope=planned.out_of_scope,
            notice=notice,
        )
        with process.databases.shard(shard) as connection:
            counts = withdraw(connection, todo, recipients, now=now)
        log.info("recall.batch_withdrawn", recall_id=recall_id, batch=batch, shard=shard, recipients=planned.recipients)
        with process.databases.control() as connection:
            progress.record_batch(connection, recall_id, batch, counts, now=now)
            outbox.finish(connection, work_id)
        return
    with process.databases.control() as connection:
        outbox.finish(connection, work_id)
