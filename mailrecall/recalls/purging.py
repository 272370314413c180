"""R26: what is purged when a recall's retention is over, as the control database knows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.audit import trail
from mailrecall.domain.trail import SYSTEM, Entry, Event
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "purging.sql")


@dataclass(frozen=True, slots=True)
class Due:
    """A recall of which something is left to be purged."""

    recall_id: int
    message_id: int
    notice_id: int | None
    delivered: bool
    """Whether every deposit of the message is over: none needs its content on a shard any more."""
    shards: Sequence[int]
    """Where something of it may lie."""


def ripe(connection: Connection[Any], *, now: datetime, limit: int) -> list[int]:
    """Return recalls whose retention is over, the oldest first."""
    return [row[0] for row in connection.execute(_SQL["ripe"], {"now": now, "limit": limit}).fetchall()]


def begin(connection: Connection[Any], recall_id: int, *, now: datetime) -> bool:
    """Let a recall be undone no longer; tells whether this did it. The audit trail says so, once."""
    keys = {"recall_id": recall_id, "now": now}
    connection.execute(_SQL["lock"], keys)
    row = connection.execute(_SQL["begin"], keys).fetchone()
    if row is None:
        return False
    # R23: nothing of how much a legal hold keeps: that would tell whose copy was recalled
    entry = Entry(
        organisation_id=row[0], event=Event.PURGED, actor=SYSTEM, recall_id=recall_id, message_id=row[1], details={}
    )
    trail.append(connection, entry, now=now)
    return True


def due(connection: Connection[Any], *, now: datetime, limit: int) -> list[Due]:
    """Return recalls of which something is left to be purged."""
    return [Due(*row) for row in connection.execute(_SQL["due"], {"now": now, "limit": limit}).fetchall()]


def held(connection: Connection[Any]) -> list[int]:
    """Return the mailboxes under a legal hold; none is placed until the caller's transaction ends."""
    connection.execute(_SQL["hold_off_holds"])
    return [row[0] for row in connection.execute(_SQL["held"]).fetchall()]


def recalls_of(connection: Connection[Any], message_id: int) -> list[int]:
    """Return all recalls of a message, whose ledgers may need its content; none begins until the transaction ends."""
    keys = {"message_id": message_id}
    connection.execute(_SQL["hold_off_recalls"], keys)
    return [row[0] for row in connection.execute(_SQL["recalls_of"], keys).fetchall()]


def kept_out_of(connection: Connection[Any], recall_id: int, shard: int, mailbox_ids: Sequence[int]) -> bool:
    """R16: tell whether some of these may have a copy that a deposit left out, and that no ledger tells of."""
    keys = {"recall_id": recall_id, "shard": shard, "mailbox_ids": list(mailbox_ids)}
    row = connection.execute(_SQL["kept_out_of"], keys).fetchone()
    return bool(row and row[0])


def last_move(connection: Connection[Any]) -> int | None:
    """Return the number of the last move of mailboxes, 0 before the first; None while one is under way."""
    row = connection.execute(_SQL["last_move"]).fetchone()
    number: int = row[0] if row else 0
    return number if row and row[1] else None


def record(connection: Connection[Any], recall_id: int, *, again_at: datetime | None) -> None:
    """Record that all was purged that may be, and could; `again_at` when something is, or can be, left."""
    connection.execute(_SQL["done"], {"recall_id": recall_id, "again_at": again_at})
