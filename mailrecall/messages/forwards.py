"""R4: messages that accounts' forwarding rules pass on, each exactly once, in the caller's control transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.messages.counting import deliveries_added, deliveries_done
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "forwards.sql")


@dataclass(frozen=True, slots=True)
class PlannedForward:
    """A message that is to be passed on."""

    target: str
    accepted_at: datetime
    content: bytes


def plan_forwards(
    connection: Connection[Any], message_id: int, forwards: Sequence[tuple[int, str]], *, now: datetime
) -> None:
    """Write down which accounts pass a message on and where to, with the work of it; once for each account."""
    if not forwards:
        return
    parameters = {
        "message_id": message_id,
        "account_ids": [account_id for account_id, _ in forwards],
        "targets": [target for _, target in forwards],
    }
    planned = connection.execute(_SQL["insert_forwards"], parameters).fetchall()
    deliveries_added(connection, message_id, added=len(planned))
    outbox.add(connection, [work.forward(message_id, account_id) for (account_id,) in planned], due_at=now)


def lock_forward(connection: Connection[Any], message_id: int, account_id: int) -> PlannedForward | None:
    """Return a forward that is still to be accepted, locked until the transaction ends; None once it was."""
    row = connection.execute(_SQL["lock_forward"], {"message_id": message_id, "account_id": account_id}).fetchone()
    return PlannedForward(row[0], row[1], bytes(row[2])) if row else None


def record_forward(
    connection: Connection[Any], message_id: int, account_id: int, forward_message_id: int | None, *, now: datetime
) -> None:
    """Record a locked forward as accepted, or with None as impossible."""
    keys = {"message_id": message_id, "account_id": account_id}
    connection.execute(_SQL["forwarded"], {**keys, "forward_message_id": forward_message_id, "now": now})
    deliveries_done(connection, message_id, done=1, now=now)
