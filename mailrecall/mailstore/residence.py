"""Whether mailboxes are still on the shard that somebody believes them on: asked on that shard, in its own transaction.

A mailbox can move to another shard at any time (`mailrecall.shards`), and whoever knew where it was finds out here,
under a lock that the move takes too: either all of a transaction comes before the move, or none of it happens.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from psycopg import Connection

from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases

_SQL = queries.load(__package__, "residence.sql")


class MailboxMovedError(psycopg.OperationalError):
    """Some mailbox is not on this shard: it has moved, or is moving. Nothing was done; try again."""

    def __init__(self) -> None:
        super().__init__("a mailbox is moving to another shard; try again")


class Owner(Protocol):
    """Whose mailbox it is, and where it was when that was looked up."""

    @property
    def id(self) -> int:
        """The mailbox."""

    @property
    def shard(self) -> int:
        """Its shard."""


@dataclass(frozen=True, slots=True)
class Residence:
    """A mailbox and the shard that it was on at some time."""

    id: int
    shard: int


class Home:
    """A mailbox for as long as somebody uses it: follows it when it moves."""

    def __init__(self, databases: Databases, owner: Owner, moved: Callable[[int], object] | None = None) -> None:
        """Remember where the mailbox is.

        Args:
            databases: the process's databases.
            owner: the mailbox.
            moved: called with the new shard, in the thread of whoever found out.
        """
        self._databases = databases
        self._mailbox_id = owner.id
        self._shard = owner.shard
        self._moved = moved

    @contextmanager
    def open(self) -> Iterator[Connection[Any]]:
        """Give a transaction on the mailbox's shard, which keeps the mailbox from moving until it ends.

        Raises:
            MailboxMovedError: it is on its way at this moment.
        """
        for _ in range(2):
            with ExitStack() as stack:
                connection = stack.enter_context(self._databases.shard(self._shard))
                if _is_here(connection, self._mailbox_id):
                    yield connection
                    return
            self._look_up()
        raise MailboxMovedError

    def _look_up(self) -> None:
        with self._databases.control() as control:
            row = control.execute(_SQL["shard_of"], {"mailbox_id": self._mailbox_id}).fetchone()
        if row is None or row[0] == self._shard:
            raise MailboxMovedError
        self._shard = row[0]
        if self._moved is not None:
            self._moved(self._shard)


def mailbox(databases: Databases, owner: Owner) -> AbstractContextManager[Connection[Any]]:
    """Give a transaction on a mailbox's shard, wherever that is by now.

    Raises:
        MailboxMovedError: it is on its way at this moment.
    """
    return Home(databases, owner).open()


@contextmanager
def unmoved(databases: Databases, owner: Owner) -> Iterator[Connection[Any]]:
    """Give a transaction on the shard that a mailbox was on when it was looked up.

    Raises:
        MailboxMovedError: it has left.
    """
    with databases.shard(owner.shard) as connection:
        if not _is_here(connection, owner.id):
            raise MailboxMovedError
        yield connection


def enter_batches(connection: Connection[Any], message_id: int) -> bool:
    """Keep mailboxes from leaving or reaching this shard until the caller's transaction ends.

    The first statement of every transaction that works on a batch, before it holds any row.

    Returns:
        whether copies of the message came here by a move: then a batch's range may hold copies of others.
    """
    row = connection.execute(_SQL["enter_batches"], {"message_id": message_id}).fetchone()
    return bool(row and row[0])


def require_present(connection: Connection[Any], mailbox_ids: Sequence[int]) -> None:
    """Make sure that mailboxes are on this shard, in a transaction that has entered its batches.

    Raises:
        MailboxMovedError: one is not; its batch has been divided, or is about to be.
    """
    row = connection.execute(_SQL["some_absent"], {"mailbox_ids": list(mailbox_ids)}).fetchone()
    if row is None or row[0]:
        raise MailboxMovedError


def _is_here(connection: Connection[Any], mailbox_id: int) -> bool:
    row = connection.execute(_SQL["enter_mailbox"], {"mailbox_id": mailbox_id}).fetchone()
    return bool(row and row[0])
