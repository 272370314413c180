"""Putting delivery batches, and authors' own copies, into the shards."""

from datetime import datetime

from mailrecall import logs
from mailrecall.mailstore import deposit as mailstore
from mailrecall.mailstore import forwarding
from mailrecall.messages import delivery
from mailrecall.outbox import store as outbox
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.delivery.forwarding import forwards_due

log = logs.get(__name__)


def deposit_batch(
    process: Process[Settings], *, message_id: int, batch: int, shard: int, work_id: int, now: datetime
) -> None:
    """Deposit one batch. The shard commits first; the control database learns of it after, as often as it takes."""
    with process.databases.control() as connection:
        todo = delivery.batch_to_deposit(connection, message_id, batch)
        if todo is None:
            raise LookupError(f"Message {message_id} has no delivery batch {batch}.")
        forwards = [] if todo.deposited else forwards_due(connection, message_id, todo)
    forwarded: list[tuple[int, str]] = []
    if not todo.deposited:
        content = _content_for(process, shard, message_id)
        with process.databases.shard(shard) as connection:
            deposited = mailstore.deposit(
                connection, message_id, batch, todo.listed, content, mailbox_ids=todo.mailbox_ids, via=todo.via
            )
            forwarding.mark(connection, message_id, batch, forwards, now=now)
            # an earlier run may have marked copies and died before the control database knew of them
            if forwards or not deposited:
                forwarded = forwarding.marked(connection, message_id, batch)
        log.info("delivery.deposited", message_id=message_id, batch=batch, shard=shard, deposited=deposited)
    with process.databases.control() as connection:
        delivery.record_deposit(connection, message_id, batch, forwards=forwarded, now=now)
        outbox.finish(connection, work_id)


def file_author_copy(process: Process[Settings], *, message_id: int, shard: int, work_id: int, now: datetime) -> None:
    """File the author's own copy in their Sent folder (R15)."""
    with process.databases.control() as connection:
        copy = delivery.author_copy(connection, message_id)
        if copy is None:
            raise LookupError(f"Message {message_id} has no author here.")
    if not copy.filed:
        content = _content_for(process, shard, message_id)
        with process.databases.shard(shard) as connection:
            mailstore.file_author_copy(connection, message_id, copy.mailbox_id, copy.listed, content)
    with process.databases.control() as connection:
        delivery.record_author_copy(connection, message_id, now=now)
        outbox.finish(connection, work_id)


def _content_for(process: Process[Settings], shard: int, message_id: int) -> bytes | None:
    """Return the bytes if the shard still needs them: a large message travels to a shard once, not with each batch."""
    with process.databases.shard(shard) as connection:
        if not mailstore.needs_content(connection, message_id):
            return None
    with process.databases.control() as connection:
        content = delivery.content(connection, message_id)
    if content is None:
        raise LookupError(f"The content of message {message_id} is gone before shard {shard} had it.")
    return content
