"""Throwing inputs at a server that listens, some at a time, and looking at what it made of them."""

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import psutil

from tests.fuzz.inputs import rounds
from tests.listening import PATIENCE, Server

AT_ONCE = 6
GROWTH = 200 * 1024 * 1024
"""Octets of memory that a server may need more after all of it than before."""


def throw(server: Server, address: tuple[str, int], inputs: Iterable[bytes]) -> None:
    """Send each input over a connection of its own, and wait until the server closes it.

    Raises:
        AssertionError: an answer did not end in time, the server ended, or it grew without end.
    """
    process = psutil.Process(server.process.pid)
    before = memory(process)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for some in rounds(inputs):
            slow = [octets for octets in threads.map(lambda octets: _send(address, octets), some) if octets is not None]
            assert slow == [], f"{len(slow)} inputs got no end of an answer, the first is {slow[0]!r}"
            assert server.process.poll() is None, server.log.read_text(errors="replace")[-3_000:]
            assert memory(process) - before < GROWTH


def failures(server: Server, *events: str) -> list[str]:
    """Return the lines of the log that tell of a failure of the server's own."""
    marks = [*events, "Traceback (most recent call last)"]
    return [line for line in server.log.read_text(errors="replace").splitlines() if any(mark in line for mark in marks)]


def memory(process: psutil.Process) -> int:
    """Return the octets of memory that a process and those it began have."""
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))


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
