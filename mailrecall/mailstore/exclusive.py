"""One session at a time: who has a mailbox open under POP3 (RFC 1939 section 4).

A hold is an advisory lock on the mailbox's shard. One connection of this process to each shard keeps all of them,
however many sessions there are; if the process or the connection dies, the server lets go of them at once.
Such a connection must reach PostgreSQL itself, not a pooler that hands it to others between two statements.
"""

import threading
from typing import Any

import psycopg
from psycopg import Connection

from mailrecall.postgres import queries
from mailrecall.postgres.breaker import Breaker
from mailrecall.postgres.databases import connection_options
from mailrecall.settings import Settings

_SQL = queries.load(__package__, "exclusive.sql")


class Hold:
    """One session's hold on a mailbox."""

    def __init__(self, keeper: "_Keeper", mailbox_id: int) -> None:
        self.mailbox_id = mailbox_id
        self.lost = False
        """The connection that kept it broke: somebody else may have the mailbox by now."""
        self._keeper = keeper

    def stands(self) -> bool:
        """Ask the shard whether the mailbox is still held."""
        return self._keeper.stands(self)

    def release(self) -> None:
        """Let go of the mailbox; safe to repeat, and after a loss."""
        self._keeper.release(self)


class MailboxLocks:
    """What this process holds, on all shards."""

    def __init__(self, settings: Settings, application: str) -> None:
        """Prepare; connections are opened on first use.

        Args:
            settings: where the shards are.
            application: shows in `pg_stat_activity`.
        """
        options = connection_options(settings, application)
        self._keepers = [_Keeper(url, options, settings.connect_timeout) for url in settings.shard_urls]

    def take(self, shard: int, mailbox_id: int) -> Hold | None:
        """Take a mailbox; None when another session has it, here or in another process.

        Raises:
            psycopg.OperationalError: the shard does not answer.
        """
        return self._keepers[shard].take(mailbox_id)

    def close(self) -> None:
        """Let go of everything."""
        for keeper in self._keepers:
            keeper.close()


class _Keeper:
    """One shard's holds and the connection that keeps them; its methods wait for the shard and for each other."""

    def __init__(self, url: str, options: dict[str, Any], timeout: float) -> None:
        self._url = url
        self._options = options
        self._timeout = timeout
        self._breaker = Breaker()
        self._guard = threading.Lock()
        self._connection: Connection[Any] | None = None
        self._holds: dict[int, Hold] = {}

    def take(self, mailbox_id: int) -> Hold | None:
        with self._guard:
            if not self._answers():
                self._lose()
                self._connection = self._connect()
            try:
                # PostgreSQL would give the same lock to the same connection twice
                if mailbox_id in self._holds or not self._ask("take", mailbox_id):
                    return None
            except psycopg.Error:
                # the lock may be there, with nobody to let go of it
                self._lose()
                raise
            hold = self._holds[mailbox_id] = Hold(self, mailbox_id)
            return hold

    def stands(self, hold: Hold) -> bool:
        with self._guard:
            if not hold.lost and not self._answers():
                self._lose()
            return not hold.lost

    def release(self, hold: Hold) -> None:
        with self._guard:
            if hold.lost or self._holds.pop(hold.mailbox_id, None) is None:
                return
            try:
                self._ask("release", hold.mailbox_id)
            except psycopg.Error:
                self._lose()

    def close(self) -> None:
        with self._guard:
            self._lose()

    def _ask(self, statement: str, mailbox_id: int) -> bool:
        if self._connection is None:
            raise psycopg.OperationalError("the connection that keeps the mailboxes is closed")
        row = self._connection.execute(_SQL[statement], {"mailbox_id": mailbox_id}).fetchone()
        return bool(row and row[0])

    def _connect(self) -> Connection[Any]:
        # whoever waits meanwhile is told at once that the shard is away: one after the other they would wait for hours,
        # and for as long take the threads that serve the other shards
        timeout = self._breaker.admit(self._timeout)
        try:
            options = {**self._options, "connect_timeout": max(1, round(timeout))}
            connection = psycopg.connect(self._url, autocommit=True, **options)
        except psycopg.OperationalError:
            self._breaker.failed()
            raise
        self._breaker.answered()
        return connection

    def _answers(self) -> bool:
        if self._connection is None:
            return False
        try:
            self._connection.execute(_SQL["check"])
        except psycopg.Error:
            return False
        return True

    def _lose(self) -> None:
        for hold in self._holds.values():
            hold.lost = True
        self._holds.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
