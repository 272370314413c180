"""R4: copies that an account's rule passes on, marked in the transaction that deposits them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.domain.copies import Fact
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "forwarding.sql")


@dataclass(frozen=True, slots=True)
class Forward:
    """One mailbox's copy that goes on to an address."""

    mailbox_id: int
    target: str
    keep_copy: bool
    """False: the copy counts as deleted by its recipient, and its row is only the record that it was forwarded."""


def mark(
    connection: Connection[Any], message_id: int, batch: int, forwards: Sequence[Forward], *, now: datetime
) -> None:
    """Mark copies just deposited as forwarded, in the deposit's transaction; a second time changes nothing."""
    if not forwards:
        return
    parameters = {
        "message_id": message_id,
        "batch": batch,
        "mailbox_ids": [forward.mailbox_id for forward in forwards],
        "targets": [forward.target for forward in forwards],
        "facts": [
            (Fact.FORWARDED if forward.keep_copy else Fact.FORWARDED | Fact.DELETED).value for forward in forwards
        ],
        "now": now,
    }
    connection.execute(_SQL["mark"], parameters)


def marked(connection: Connection[Any], message_id: int, batch: int) -> list[tuple[int, str]]:
    """Return the mailboxes of a batch whose copy was marked, each with the address it goes on to."""
    return connection.execute(_SQL["marked"], {"message_id": message_id, "batch": batch}).fetchall()
