"""Where the benchmark runs: an embedded stack of its own, and the connections into it that measure."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection

from benchmarks.errors import BenchmarkError
from mailrecall import clock
from mailrecall.embedded import postgres
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.folder import DataFolder
from mailrecall.embedded.session import Session, started
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases

_SQL = queries.load(__package__, "place.sql")

PASSWORD = secrets.token_urlsafe(12)
"""Everybody's in the benchmark's company; a new one each time."""

PAUSE = 0.002
"""Seconds between two looks for something that is being timed."""
_CALM_PAUSE = 0.05
"""Seconds between two looks for something that is not."""


@dataclass(frozen=True, slots=True)
class Place:
    """A running stack, seen from the benchmark."""

    session: Session
    databases: Databases
    control: Connection[Any]
    """Autocommits; what is being timed is looked for on it."""
    server: Connection[Any]
    """The superuser's, for checkpoints and the place in the log."""

    @property
    def shards(self) -> tuple[int, ...]:
        """The shards' numbers."""
        return self.databases.shards

    def shard_connection(self, shard: int) -> Connection[Any]:
        """Open a connection to a shard for statements of the benchmark's own."""
        return psycopg.connect(self.session.settings.shard_urls[shard], autocommit=True)

    def durability(self) -> dict[str, str]:
        """Return the server's settings that decide what a commit means.

        They are read as the services meet them in each database: a role or a database can have settings of its own.

        Raises:
            BenchmarkError: a commit would not mean that the data is on the disk.
        """
        found = _durable(self.server)
        with self.databases.control() as connection:
            _durable(connection)
        for shard in self.shards:
            with self.databases.shard(shard) as connection:
                _durable(connection)
            with self.shard_connection(shard) as connection:
                _durable(connection)
        return found

    def log_position(self) -> int:
        """Return how many octets of write-ahead log the server has written."""
        row = self.server.execute(_SQL["log_position"]).fetchone()
        return int(row[0]) if row else 0

    def checkpoint(self) -> None:
        """Write everything down, so that no checkpoint falls into what is timed next."""
        self.server.execute(_SQL["checkpoint"])

    def await_quiet(self) -> None:
        """Wait until the services have finished all that was to be done: reports, mails on their way."""
        until(self._is_quiet, pause=_CALM_PAUSE)

    def _is_quiet(self) -> bool:
        row = self.control.execute(_SQL["is_quiet"], {"now": clock.now()}).fetchone()
        return bool(row and row[0])

    def tidy(self) -> None:
        """Vacuum what the last run left behind, so that each begins alike."""
        for shard in self.shards:
            with self.shard_connection(shard) as connection:
                connection.execute(_SQL["tidy"])


def _durable(connection: Connection[Any]) -> dict[str, str]:
    found: dict[str, str] = dict(connection.execute(_SQL["settings"]).fetchall())
    if found["fsync"] != "on" or found["synchronous_commit"] != "on" or found["full_page_writes"] != "on":
        database = connection.info.dbname
        raise BenchmarkError(f"{database} does not wait for the disk, so its figures would mean nothing: {found}.")
    return found


def until(condition: Callable[[], bool], *, seconds: float = 600.0, pause: float = PAUSE) -> None:
    """Look again and again until something holds.

    Args:
        condition: what is to hold.
        seconds: after which it is given up.
        pause: seconds between two looks: looking takes processors from what is being timed.

    Raises:
        BenchmarkError: it did not in time.
    """
    if not poll(condition, timeout=seconds, pause=pause):
        raise BenchmarkError(f"Something did not happen within {seconds:.0f} seconds; the logs may say why.")


@contextmanager
def _nothing_inherited() -> Iterator[None]:
    """Take Mail Recall's variables out of the environment until the block ends: one could change the figures."""
    stray = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("MAILRECALL_")}
    try:
        yield
    finally:
        os.environ.update(stray)


@contextmanager
def running(folder: DataFolder, *, shards: int, workers: int) -> Iterator[Place]:
    """Run a stack in a folder until the block ends."""
    with ExitStack() as up:
        up.enter_context(_nothing_inherited())
        output = up.enter_context((folder.path.parent / f"{folder.path.name}.log").open("w+b"))
        session = up.enter_context(
            started(
                folder,
                arguments=["--free-ports", f"--shards={shards}", f"--workers={workers}"],
                # what is measured is the machine, not what one account is allowed
                environment={"MAILRECALL_RATE_LIMIT_ACCOUNT": "", "MAILRECALL_RATE_LIMIT_ADDRESS": ""},
                output=output.fileno(),
            )
        )
        databases = Databases(session.settings, "benchmark")
        up.callback(databases.close)
        control = up.enter_context(psycopg.connect(session.settings.control_url, autocommit=True))
        superuser_url = "postgresql://{}:{}@{}:{}/postgres".format(
            postgres.SUPERUSER, folder.secret("superuser_password"), postgres.HOST, session.state.ports.postgres
        )
        server = up.enter_context(psycopg.connect(superuser_url, autocommit=True))
        yield Place(session, databases, control, server)
