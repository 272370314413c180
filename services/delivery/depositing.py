"""Putting delivery batches, and authors' own copies, into the shards."""

from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from mailrecall import faultpoints, logs
from mailrecall.domain.copies import author_copy_id
from mailrecall.faultpoints import Commit
from mailrecall.mailstore import deposit as mailstore
from mailrecall.mailstore import drafts, forwarding
from mailrecall.mailstore.residence import Home, MailboxMovedError, Residence
from mailrecall.messages import delivery
from mailrecall.metrics import instruments
from mailrecall.outbox import store as outbox
from mailrecall.settings import Settings
from mailrecall.shards.moving import mend
from mailrecall.wiring import Process
from services.delivery.forwarding import forwards_due

log = logs.get(__name__)

_UNTIL_DECIDED = timedelta(seconds=1)
"""R13: how long a deposit is put off while an all-or-nothing recall of its message is not decided."""


def deposit_batch(
    process: Process[Settings], *, message_id: int, batch: int, work_id: int, now: datetime, **_: int
) -> None:
    """Deposit one batch. The shard commits first; the control database learns of it after, as often as it takes."""
    try:
        _deposit_batch(process, message_id, batch, work_id, now=now)
    except MailboxMovedError:
        if not mend(process.databases, message_id, batch, now=now):
            raise
        with process.databases.control() as connection:
            left = outbox.is_open(connection, work_id)
        if left:  # else everybody has moved, and the batch's work with them
            _deposit_batch(process, message_id, batch, work_id, now=now)


def _deposit_batch(process: Process[Settings], message_id: int, batch: int, work_id: int, *, now: datetime) -> None:
    with process.databases.control() as connection:
        # open until the shard has committed, so that no recall slips in between (R16)
        todo = delivery.lock_batch_to_deposit(connection, message_id, batch)
        if todo is None:
            raise LookupError(f"Message {message_id} has no delivery batch {batch}.")
        if todo.undecided and not todo.deposited:
            outbox.put_off(connection, work_id, "undecided", due_at=now + _UNTIL_DECIDED)
            return
        forwarded = [] if todo.deposited else _deposit(process, connection, message_id, batch, todo, now=now)
    with process.databases.control() as connection:
        delivery.record_deposit(connection, message_id, batch, forwards=forwarded, now=now)
        outbox.finish(connection, work_id)
        faultpoints.before(Commit.DEPOSIT_RECORD)
    faultpoints.after(Commit.DEPOSIT_RECORD)


def _deposit(
    process: Process[Settings],
    control: Connection[Any],
    message_id: int,
    batch: int,
    todo: delivery.DeliveryBatch,
    *,
    now: datetime,
) -> list[tuple[int, str]]:
    """Deposit a batch into its shard; returns what is to be forwarded of it, to whom."""
    forwards = forwards_due(control, message_id, todo) if todo.mailbox_ids else []
    content = _content_for(process, control, todo.shard, message_id)
    with process.databases.shard(todo.shard) as connection:
        deposited = mailstore.deposit(
            connection,
            message_id,
            batch,
            todo.listed,
            content,
            mailbox_ids=todo.mailbox_ids,
            via=todo.via,
            recall_id=todo.recall_id,
            released=todo.released,
        )
        forwarding.mark(connection, message_id, batch, forwards, now=now)
        # an earlier run may have marked copies and died before the control database knew of them
        marked = forwarding.marked(connection, message_id, batch) if forwards or not deposited else []
        faultpoints.before(Commit.DEPOSIT)
    faultpoints.after(Commit.DEPOSIT)
    if deposited:
        instruments.copies_deposited(todo.shard, len(todo.mailbox_ids))
    log.info("delivery.deposited", message_id=message_id, batch=batch, shard=todo.shard, deposited=deposited)
    return marked


def file_author_copy(process: Process[Settings], *, message_id: int, shard: int, work_id: int, now: datetime) -> None:
    """File the author's own copy in their Sent folder (R15)."""
    with process.databases.control() as connection:
        copy = delivery.author_copy(connection, message_id)
        if copy is None:
            raise LookupError(f"Message {message_id} has no author here.")
    if not copy.filed:
        # the shard of the arguments is where the mailbox was when the message was accepted
        home = Home(process.databases, Residence(copy.mailbox_id, shard))
        content = None
        while not _file(home, message_id, copy, content):
            with process.databases.control() as connection:
                content = _content(connection, message_id)
    with process.databases.control() as connection:
        delivery.record_author_copy(connection, message_id, now=now)
        outbox.finish(connection, work_id)
        faultpoints.before(Commit.FILE_RECORD)
    faultpoints.after(Commit.FILE_RECORD)


def _file(home: Home, message_id: int, copy: delivery.AuthorCopy, content: bytes | None) -> bool:
    """File an author's copy; False when the shard lacks the content, which had to come along."""
    with home.open() as connection:
        # in the same transaction: the mailbox may move between two, to a shard that lacks what the first one had
        if content is None and mailstore.needs_content(connection, message_id):
            return False
        # R28: what was a draft under this id becomes the copy in Sent, in one transaction
        drafts.remove(connection, copy.mailbox_id, author_copy_id(message_id))
        mailstore.file_author_copy(connection, message_id, copy.mailbox_id, copy.listed, content)
        faultpoints.before(Commit.FILE)
    faultpoints.after(Commit.FILE)
    return True


def _content_for(process: Process[Settings], control: Connection[Any], shard: int, message_id: int) -> bytes | None:
    """Return the bytes if the shard still needs them: a large message travels to a shard once, not with each batch."""
    with process.databases.shard(shard) as connection:
        if not mailstore.needs_content(connection, message_id):
            return None
    return _content(control, message_id)


def _content(control: Connection[Any], message_id: int) -> bytes:
    content = delivery.content(control, message_id)
    if content is None:
        raise LookupError(f"The content of message {message_id} is gone before every shard had it.")
    return content
