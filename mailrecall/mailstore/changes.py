"""Telling those who wait that mailboxes changed: one notice for a transaction, however many mailboxes it changed.

PostgreSQL delivers a notice when its transaction commits, and the same notice once however often it was written.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from psycopg import Connection

from mailrecall.postgres import queries

CHANNEL = "copies"
"""The channel of every shard."""

_SQL = queries.load(__package__, "changes.sql", {"CHANNEL": CHANNEL})

LISTEN = _SQL["listen"]
"""The statement that has a connection told of all changes on its shard."""


class Kind(StrEnum):
    """What happened."""

    DEPOSITED = "deposited"
    WITHDRAWN = "withdrawn"
    CHANGED = "changed"
    """By the owner: flags, folder, deletion."""


@dataclass(frozen=True, slots=True)
class Change:
    """Some mailboxes between two numbers, both included, changed."""

    message_id: int
    first: int
    last: int
    kind: Kind

    @classmethod
    def parse(cls, payload: str) -> "Change":
        """Read a notice's text.

        Raises:
            ValueError: it is none of ours.
        """
        message_id, first, last, kind = payload.split(" ")
        return cls(int(message_id), int(first), int(last), Kind(kind))

    def __str__(self) -> str:
        return f"{self.message_id} {self.first} {self.last} {self.kind}"


def announce(connection: Connection[Any], change: Change) -> None:
    """Have a change told when the caller's shard transaction commits."""
    connection.execute(_SQL["announce"], {"payload": str(change)})


def announce_own(connection: Connection[Any], mailbox_id: int, message_id: int = 0) -> None:
    """Have a change that an owner made to one mailbox told when the caller's shard transaction commits."""
    announce(connection, Change(message_id, mailbox_id, mailbox_id, Kind.CHANGED))
