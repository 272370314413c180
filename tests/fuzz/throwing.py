"""Throwing inputs at a server that listens, some at a time, and looking at what it made of them."""

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import click
import psutil

from tests.fuzz.inputs import rounds
from tests.listening import PATIENCE, Server

AT_ONCE = 12
GROWTH = 200 * 1024 * 1024
"""Octets of memory that a server may need more after all of it than after the first part, when it is warm."""


class Observer:
    """Looks at a server every now and then: whether it runs, how much memory it needs, and what it says of itself."""

    def __init__(self, server: Server, *failures: str) -> None:
        """Begin to look.

        Args:
            server: which.
            failures: what stands in a line of its log that tells of a failure of its own.
        """
        self._server = server
        self._process = psutil.Process(server.process.pid)
        self._marks = [mark.encode() for mark in (*failures, "Traceback (most recent call last)")]
        self._read = 0
        self._before: int | None = None

    def look(self) -> None:
        """See that all is well.

        Raises:
            AssertionError: it ended, failed, or grew without end.
        """
        assert self._server.process.poll() is None, self._server.log.read_text(errors="replace")[-3_000:]
        failures = self._new_failures()
        assert not failures, failures[:5]
        needed = self._memory()
        if self._before is None:
            self._before = needed
        grown = needed - self._before
        click.echo(f"needs {needed / 1024 / 1024:.0f} MiB, {grown / 1024 / 1024:+.0f}")
        assert grown < GROWTH, grown

    def _new_failures(self) -> list[bytes]:
        with self._server.log.open("rb") as log:
            log.seek(self._read)
            said = log.read()
        self._read += len(said)
        return [line for line in said.splitlines() if any(mark in line for mark in self._marks)]

    def _memory(self) -> int:
        """Return the octets of memory that the process and those it began have."""
        return sum(each.memory_info().rss for each in (self._process, *self._process.children(recursive=True)))


def throw(server: Server, address: tuple[str, int], inputs: Iterable[bytes], *failures: str) -> None:
    """Send each input over a connection of its own, and wait until the server closes it.

    Args:
        server: at which to throw.
        address: where it listens.
        inputs: what is thrown.
        failures: what stands in a line of its log that tells of a failure of its own.

    Raises:
        AssertionError: an answer did not end in time, or the server ended, failed, or grew without end.
    """
    observer = Observer(server, *failures)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for some in rounds(inputs):
            slow = [octets for octets in threads.map(lambda octets: _send(address, octets), some) if octets is not None]
            assert not slow, f"{len(slow)} inputs got no end of an answer, the first is {slow[0]!r}"
            observer.look()


def _send(address: tuple[str, int], octets: bytes) -> bytes | None:
    """Send an input; None when the connection came to its end, else the input."""
    try:
        with socket.create_connection(address, timeout=PATIENCE) as connection:
            connection.sendall(octets)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass
    except TimeoutError:
        return octets
    except OSError:
        pass  # it closed before everything was sent, as it may
    return None
