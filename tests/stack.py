"""The whole stack as real processes, for the tests that need all of it."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailrecall.embedded.folder import DataFolder
from mailrecall.embedded.session import Session, started
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import smarthost, traces
from tests.servers import new_folder
from tests.smarthost import Smarthost
from tests.traces import Collector

SHARDS = 2

# as in production, only less patient: what a worker lost comes back in seconds
IMPATIENT = {
    "MAILRECALL_OUTBOX_LEASE": "3",
    "MAILRECALL_RECONCILE_EVERY": "1",
    # small enough for a test to send too much
    "MAILRECALL_MAX_MESSAGE_SIZE": str(4 * 1024 * 1024),
}


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack and ways into it."""

    session: Session
    databases: Databases
    smarthost: Smarthost
    """Where mail to other people's domains goes."""
    traces: Collector
    """Where all processes send their traces."""

    @property
    def settings(self) -> Settings:
        """What the services run with."""
        return self.session.settings

    @property
    def gateway_url(self) -> str:
        """As `http://127.0.0.1:8080`."""
        return self.session.gateway_url

    @property
    def flower_url(self) -> str:
        """As `http://127.0.0.1:5555`."""
        return self.session.flower_url

    @property
    def metrics_url(self) -> str:
        """As `http://127.0.0.1:9464/metrics`."""
        return self.session.metrics_url

    @property
    def smtp(self) -> tuple[str, int]:
        """Host and port of SMTP submission."""
        return self.session.smtp

    @property
    def lmtp(self) -> tuple[str, int]:
        """Host and port of LMTP."""
        return self.session.lmtp

    @property
    def imap(self) -> tuple[str, int]:
        """Host and port of IMAP."""
        return self.session.imap

    @property
    def pop3(self) -> tuple[str, int]:
        """Host and port of POP3."""
        return self.session.pop3

    def processes(self) -> dict[str, list[int]]:
        """Return the ids of what runs now: each process by its name, first itself, then its descendants."""
        return self.session.processes()


@contextmanager
def running() -> Iterator[Stack]:
    """Run a stack until the block ends."""
    folder = DataFolder(new_folder("stack"))
    with (
        smarthost.running() as outside,
        traces.collecting() as collector,
        started_in(
            folder,
            [f"--shards={SHARDS}"],
            {
                "MAILRECALL_SMARTHOST": "{}:{}".format(*outside.address),
                "MAILRECALL_OTLP_ENDPOINT": collector.url,
            },
        ) as session,
    ):
        databases = Databases(session.settings, "tests")
        try:
            yield Stack(session, databases, outside, collector)
        finally:
            databases.close()
    shutil.rmtree(folder.path)


@contextmanager
def started_in(
    folder: DataFolder,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    launcher: Sequence[str] = (),
) -> Iterator[Session]:
    """Run a stack in a folder, on free ports; if it does not come up, say what its processes said."""
    try:
        with started(
            folder,
            arguments=["--free-ports", *arguments],
            environment={**IMPATIENT, **(environment or {})},
            launcher=launcher,
        ) as session:
            yield session
    except Exception as error:
        error.add_note(last_words(folder))
        raise


def last_words(folder: DataFolder, lines: int = 25) -> str:
    """Return how the log of each process ends."""
    words = [f"==> {log.name}\n{_tail(log, lines)}" for log in sorted(folder.logs.glob("*.log"))]
    return "\n".join(words)


def _tail(log: Path, lines: int) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
