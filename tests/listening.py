"""A server of the house that listens, as a process of its own, and what clients of all protocols have in common."""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mailrecall.embedded.deadlines import poll
from mailrecall.settings import Settings

PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


def environment(settings: Settings, **own: object) -> dict[str, str]:
    """What a server with these settings, and some of its own, finds in its environment."""
    given = {
        "control_url": settings.control_url,
        "shard_urls": " ".join(settings.shard_urls),
        "broker_url": settings.broker_url,
        **own,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAILRECALL_")}
    return inherited | {f"MAILRECALL_{name.upper()}": str(value) for name, value in given.items()}


@contextmanager
def listening(
    module: str, variables: Mapping[str, str], log: Path, *at: tuple[str, int], arguments: Sequence[str] = ()
) -> Iterator[Server]:
    """Run a module until the block ends, which begins when the module listens at all addresses."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", module, *arguments],
            env=variables,
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parents[1],
        )
    try:
        up = poll(lambda: process.poll() is not None or all(map(_listens, at)), timeout=PATIENCE)
        if not up or process.poll() is not None:
            raise RuntimeError(f"{module} does not listen.\n{log.read_text()}")
        yield Server(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def address_of(bind: str) -> tuple[str, int]:
    """Return where a server listens that is told so."""
    host, _, port = bind.rpartition(":")
    return host, int(port)


def _listens(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=1):
            return True
    except OSError:
        return False


class Talker:
    """A client that sends just what it is told, and reads replies one by one."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self._file = self.socket.makefile("rb")
        self.greeting = self.reply()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def reply(self) -> str:
        """Read one reply; empty once the server has closed the connection."""
        raise NotImplementedError

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self.socket.sendall(octets)

    def ask(self, command: str) -> str:
        """Send a command and read its reply."""
        self.send(command.encode() + b"\r\n")
        return self.reply()

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Go on encrypted, once the server has said that it is ready."""
        self._file.close()
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self._file = self.socket.makefile("rb")
