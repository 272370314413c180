"""Expansion: an envelope becomes delivery batches; who is a member of a group is decided here (R13: at delivery)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.domain.audit import Hold
from mailrecall.messages.counting import deliveries_done
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.outbox.work import Work
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "messages.sql")

_MANY = 10_000
"""Members from which on reading all accounts is faster than looking up each."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a first expansion found."""

    batches: int
    externals: int


def expand(connection: Connection[Any], message_id: int, *, batch_size: int, now: datetime) -> Expansion | None:
    """Write a message's delivery batches, with the work of depositing them, into the caller's transaction.

    A recall that comes before the delivery expands the message itself, so that every recipient gets an outcome (R16);
    whoever is second finds it done.

    Returns:
        what was found, or None when the message is unknown, held (R30), or was expanded before.
    """
    row = connection.execute(_SQL["lock_for_expansion"], {"message_id": message_id}).fetchone()
    hold = Hold(row[4]) if row and row[4] else None
    if row is None or row[0] is not None or hold is Hold.HELD:
        return None
    # R30: of what was recalled or rejected while it waited, only who would have got it is written down; and nobody is
    # out of the scope of a recall of what never left
    to_nobody = hold is not None and hold.ended
    parameters = {
        "message_id": message_id,
        "to_nobody": to_nobody,
        "organisation_id": row[2],
        "domain_id": row[3],
        "batch_size": batch_size,
    }
    with _plan_for_size(connection, message_id):
        batches = connection.execute(_SQL["expand"], parameters).fetchall()
        externals = connection.execute(_SQL["expand_externals"], {"message_id": message_id}).rowcount
    todo: list[Work] = []
    if not to_nobody:
        small = sum(recipients for _batch, _shard, recipients in batches) <= work.SMALL
        todo += [work.deposit(message_id, batch, shard, small=small) for batch, shard, _recipients in sorted(batches)]
        todo += [work.relay(message_id)] * bool(externals)
    connection.execute(_SQL["expanded"], {"message_id": message_id, "now": now, "deliveries": len(todo)})
    if not to_nobody and undeliverable(connection, message_id):
        todo.append(work.bounce(message_id))
    outbox.add(connection, todo, due_at=now)
    if hold is not Hold.REJECTED:  # whose expansion was counted when it was rejected
        deliveries_done(connection, message_id, done=1, now=now)
    return Expansion(len(batches), externals)


@contextmanager
def _plan_for_size(connection: Connection[Any], message_id: int) -> Iterator[None]:
    """Have large groups joined with their accounts as a whole."""
    row = connection.execute(_SQL["reaches_many"], {"message_id": message_id, "many": _MANY}).fetchone()
    if row is None or not row[0]:
        yield
        return
    connection.execute(_SQL["join_at_once"])
    yield
    connection.execute(_SQL["join_as_usual"])


def undeliverable(connection: Connection[Any], message_id: int) -> list[str]:
    """Return the addressees that were closed or removed since the message was accepted."""
    rows = connection.execute(_SQL["undeliverable"], {"message_id": message_id}).fetchall()
    return [address for (address,) in rows]
