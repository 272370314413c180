"""The connections of one process: the control database and the shards, each behind a small pool."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from mailrecall.postgres.breaker import Breaker
from mailrecall.settings import Settings


class TransactionLostError(psycopg.OperationalError):
    """The server ended a transaction in which nothing had been said for too long; nothing of it was done.

    The process was held up, which is nobody's fault and passes. psycopg calls it an internal error (25P03), which would
    be a bug of ours; under this name it is what it is everywhere: an outage, worth another try.
    """


class HouseConnection(Connection[TupleRow]):
    """A connection that knows the databases it is one of: what a shard cannot tell alone, the control database can."""

    databases: "Databases | None" = None


def databases_of(connection: Connection[Any]) -> "Databases":
    """Return the databases that a connection belongs to.

    Raises:
        LookupError: it was not opened by `Databases`.
    """
    databases = connection.databases if isinstance(connection, HouseConnection) else None
    if databases is None:
        raise LookupError("This connection stands alone: it was not opened by Databases.")
    return databases


class Databases:
    """Pools that are opened on first use, so that a forked worker opens its own.

    Each `with` block is one transaction: committed at its end, rolled back when it raises. One that fell silent for too
    long raises `TransactionLostError`.
    """

    def __init__(self, settings: Settings, application: str) -> None:
        """Prepare the pools.

        Args:
            settings: where the databases are, and the limits of their use.
            application: shows in `pg_stat_activity`, so that an operator knows whose connection it is.
        """
        self._settings = settings
        self._application = application
        self._databases: dict[int | None, _Database] = {}
        self._lock = threading.Lock()

    @property
    def settings(self) -> Settings:
        """Where the databases are, and the limits of their use."""
        return self._settings

    @property
    def shards(self) -> tuple[int, ...]:
        """The numbers of the shards."""
        return self._settings.shard_numbers

    @contextmanager
    def control(self) -> Iterator[Connection[TupleRow]]:
        """Give a connection to the control database for one transaction."""
        with self._database(None).connection() as connection:
            yield connection

    @contextmanager
    def shard(self, number: int) -> Iterator[Connection[TupleRow]]:
        """Give a connection to a shard for one transaction.

        Raises:
            LookupError: there is no shard of that number in the settings.
            AwayError: it did not answer a moment ago; other shards are not held up by it.
        """
        if number not in self.shards:
            raise LookupError(f"There is no shard {number} among the {len(self.shards)} of MAILRECALL_SHARD_URLS.")
        with self._database(number).connection() as connection:
            yield connection

    def _database(self, shard: int | None) -> "_Database":
        with self._lock:
            if (database := self._databases.get(shard)) is None:
                url = self._settings.control_url if shard is None else self._settings.shard_urls[shard]
                name = f"{self._application}-{'control' if shard is None else f'shard{shard}'}"
                database = self._databases[shard] = _Database(self, url, self._application, name)
            return database

    def forget(self) -> None:
        """Drop pools inherited from a parent process: their sockets and threads are the parent's."""
        self._lock = threading.Lock()
        self._databases = {}

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            databases, self._databases = self._databases, {}
        for database in databases.values():
            database.close()


class _Database:
    """One database's pool, and what is known of its reachability."""

    def __init__(self, databases: Databases, url: str, application: str, name: str) -> None:
        settings = databases.settings
        self._databases = databases
        self._timeout = settings.connect_timeout
        self._breaker = Breaker()
        self._pool: ConnectionPool[HouseConnection] = ConnectionPool(
            url,
            connection_class=HouseConnection,
            configure=self._introduce,
            kwargs=connection_options(settings, application),
            min_size=0,
            max_size=settings.pool_size,
            # a server that went away and came back must not show as an error of the next request
            check=self._check,
            # given up soon, because a pool that waits longer and longer would not see the server come back
            reconnect_timeout=settings.connect_timeout,
            open=True,
            name=name,
        )

    def _introduce(self, connection: HouseConnection) -> None:
        connection.databases = self._databases

    def _check(self, connection: Connection[TupleRow]) -> None:
        try:
            ConnectionPool.check_connection(connection)
        except psycopg.Error:
            # the others went with it, as a rule; tried one by one, with longer and longer pauses between, they would
            # outlast the patience of whoever waits
            self._pool.drain()
            raise

    @contextmanager
    def connection(self) -> Iterator[Connection[TupleRow]]:
        """Give a connection for one transaction."""
        errors = self._errors()
        try:
            with ExitStack() as transaction:
                try:
                    timeout = self._breaker.admit(self._timeout)
                    connection = transaction.enter_context(self._pool.connection(timeout=timeout))
                except PoolTimeout:
                    # a pool whose connections are all in use times out too, and says nothing of the server
                    if self._errors() > errors:
                        self._breaker.failed()
                    raise
                self._breaker.answered()
                yield connection
        except psycopg.errors.IdleInTransactionSessionTimeout as error:
            raise TransactionLostError(str(error)) from error

    def close(self) -> None:
        """Close its connections."""
        self._pool.close()

    def _errors(self) -> int:
        return self._pool.get_stats().get("connections_errors", 0)


def connection_options(settings: Settings, application: str) -> dict[str, Any]:
    """Return what every connection of ours is opened with, pooled or not."""
    return {
        "application_name": f"mailrecall-{application}",
        "connect_timeout": max(1, round(settings.connect_timeout)),
        "options": f"-c statement_timeout={round(settings.statement_timeout * 1000)}"
        # a transaction may wait for one on another database: longer than a statement there can take
        f" -c idle_in_transaction_session_timeout={round(settings.statement_timeout * 3000)} -c timezone=UTC",
        # a peer that vanished without a word is noticed within half a minute, not after two hours
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }
