"""Using a stack from outside: attach to the one that runs in a folder, or run one as a child for a while."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from mailrecall.embedded import records, state
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.errors import EmbeddedError
from mailrecall.embedded.folder import DataFolder
from mailrecall.embedded.ports import HOST
from mailrecall.settings import Settings

_START_TIMEOUT = 300.0
_STOP_TIMEOUT = 150.0


@dataclass(frozen=True, slots=True)
class Session:
    """A running stack as seen from another process."""

    folder: DataFolder
    state: state.State
    settings: Settings

    @property
    def gateway_url(self) -> str:
        """Where the gateway answers."""
        return f"http://{HOST}:{self.state.ports.gateway}"

    @property
    def flower_url(self) -> str:
        """Where Flower answers."""
        return f"http://{HOST}:{self.state.ports.flower}"

    @property
    def metrics_url(self) -> str:
        """Where the exporter answers."""
        return f"http://{HOST}:{self.state.ports.metrics}/metrics"

    @property
    def smtp(self) -> tuple[str, int]:
        """Host and port of SMTP submission."""
        return HOST, self.state.ports.smtp

    @property
    def lmtp(self) -> tuple[str, int]:
        """Host and port of LMTP."""
        return HOST, self.state.ports.lmtp

    @property
    def imap(self) -> tuple[str, int]:
        """Host and port of IMAP."""
        return HOST, self.state.ports.imap

    @property
    def pop3(self) -> tuple[str, int]:
        """Host and port of POP3."""
        return HOST, self.state.ports.pop3

    def processes(self) -> dict[str, list[int]]:
        """Return the ids of what runs now: each process by its name, first itself, then its descendants."""
        return {
            record.name: [process.pid for process in family]
            for record in records.read(self.folder)
            if (family := record.family())
        }


def attach(folder: DataFolder) -> Session:
    """Return the stack that runs in a folder.

    Raises:
        EmbeddedError: none does, or it is not ready yet.
    """
    found = state.read(folder)
    if not found.ready:
        raise EmbeddedError(f"The stack in {folder.path} is still starting.")
    return Session(folder, found, found.settings())


@contextmanager
def started(
    folder: DataFolder,
    *,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    output: BinaryIO | int | None = None,
    launcher: Sequence[str] = (),
) -> Iterator[Session]:
    """Run `mailrecall up` as a child until the block ends.

    Args:
        folder: its data folder.
        arguments: more arguments of `mailrecall up`.
        environment: what is added to this process's environment.
        output: where it writes to; None: where this process does.
        launcher: a program, with its arguments, that replaces itself by the one that follows, such as `setpriv`.

    Raises:
        EmbeddedError: it did not become ready, or did not stop cleanly.
    """
    process = subprocess.Popen(  # noqa: S603 - our own program
        [*launcher, sys.executable, "-m", "mailrecall.cli.main", "up", "--data", str(folder.path), *arguments],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )
    try:
        yield _wait(folder, process)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise EmbeddedError(f"`mailrecall up` did not stop cleanly: its exit code was {process.returncode}.")


def _wait(folder: DataFolder, process: subprocess.Popen[bytes]) -> Session:
    def ready() -> bool:
        if process.poll() is not None:
            raise EmbeddedError(f"`mailrecall up` ended with exit code {process.returncode} before it was ready.")
        try:
            return state.read(folder).ready and state.read(folder).supervisor.pid == process.pid
        except EmbeddedError:
            return False

    if not poll(ready, timeout=_START_TIMEOUT, pause=0.1):
        raise EmbeddedError(f"The stack in {folder.path} was not ready within {_START_TIMEOUT:.0f} seconds.")
    return attach(folder)
