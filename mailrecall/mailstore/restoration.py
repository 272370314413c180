"""R26: putting back one batch of what a recall took from a shard, in one transaction, from the ledger that it left."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.domain.copies import Flag, Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.mailstore import residence
from mailrecall.mailstore.changes import Change, Kind, announce
from mailrecall.mailstore.withdrawal import Recipients
from mailrecall.postgres import queries

_SQL = queries.load(
    __package__,
    "restoration.sql",
    {
        "RECALLED": str(Outcome.RECALLED.value),
        "EXTERNAL": str(Outcome.EXTERNAL.value),
        "inbox": str(Folder.INBOX.value),
        "seen": str(Flag.SEEN.value),
    },
)


class MessageMissingError(LookupError):
    """A shard has copies to put back of a message that is not there; nothing was done."""

    def __init__(self, message_id: int) -> None:
        super().__init__(f"The shard has copies to put back of message {message_id}, and not the message.")


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawnBatch:
    """A range of one shard's mailboxes from which a recall took copies of a message."""

    recall_id: int
    batch: int
    message_id: int
    first: int
    last: int
    closed: Sequence[int]
    """Mailboxes that were closed: nothing is put into them, their copies stay gone."""
    notice_id: int | None
    """R17: the notice that was left in the copies' place."""
    out_of_scope: Sequence[int] = ()
    """R1: recipients that the recall left alone."""
    attempt: int = 1
    """R13: the last try of an all-or-nothing recall; no withdrawal of it comes after this."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of a batch."""

    restored: int
    gone: int


def restore(connection: Connection[Any], batch: WithdrawnBatch, recipients: Recipients, *, now: datetime) -> Restored:
    """Put a batch back in the caller's transaction, or return what an earlier run wrote.

    Args:
        connection: to the shard.
        batch: what to put back.
        recipients: tells who the batch's recipients are.
        now: the present moment.

    Returns:
        how many copies are back, and how many have no mailbox any more.

    Raises:
        MailboxMovedError: a recipient who never got a copy has left this shard.
        MessageMissingError: the message is not on the shard, although its deposit was recorded before this is called.
    """
    keys = {
        "recall_id": batch.recall_id,
        "batch": batch.batch,
        "message_id": batch.message_id,
        "first": batch.first,
        "last": batch.last,
        "closed": list(batch.closed),
        "notice_id": batch.notice_id,
        "out_of_scope": list(batch.out_of_scope),
        "attempt": batch.attempt,
        "now": now,
    }
    residence.enter_batches(connection, batch.message_id)
    if not connection.execute(_SQL["claim"], keys).rowcount:
        return _counts(connection, "counts", keys)
    if connection.execute(_SQL["forestall"], keys).rowcount and connection.execute(_SQL["kept_out"], keys).rowcount:
        mailbox_ids, via = recipients()
        residence.require_present(connection, mailbox_ids)
        connection.execute(_SQL["write_down_kept_out"], {**keys, "mailbox_ids": list(mailbox_ids), "via": list(via)})
    connection.execute(_SQL["bring_in"], keys)
    if batch.notice_id is not None:
        connection.execute(_SQL["take_away_copied_notices"], keys)
        if connection.execute(_SQL["take_away_notices"], keys).rowcount:
            announce(connection, Change(batch.notice_id, batch.first, batch.last, Kind.WITHDRAWN))
    if connection.execute(_SQL["put_back"], keys).rowcount:
        if not _holds(connection, "has_message", keys):
            # else they would be back, and nobody would see them
            raise MessageMissingError(batch.message_id)
        connection.execute(_SQL["put_back_duplicates"], keys)
        announce(connection, Change(batch.message_id, batch.first, batch.last, Kind.DEPOSITED))
    return _counts(connection, "sum_up", keys)


def _counts(connection: Connection[Any], query: str, keys: dict[str, object]) -> Restored:
    row = connection.execute(_SQL[query], keys).fetchone()
    if row is None:
        raise AssertionError(f"the restoration of batch {keys['batch']} vanished inside its own transaction")
    return Restored(row[0], row[1])


def _holds(connection: Connection[Any], query: str, keys: dict[str, object]) -> bool:
    row = connection.execute(_SQL[query], keys).fetchone()
    return bool(row and row[0])
