"""The POP3 server as a process of its own, mail for it to serve, and a client that talks to it octet by octet."""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.recalls import Channel
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.ports import HOST, free_ports
from mailrecall.messages.acceptance import Incoming, accept
from mailrecall.mime.summary import summarise
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import dispatch
from tests.company import PASSWORD
from tests.correspondence import addressee, author

PATIENCE = 20.0

MESSAGE = b"From: ada@here.example\r\nTo: bob@here.example\r\nSubject: Minutes\r\n\r\nfirst\r\nsecond\r\nthird\r\n"


@dataclass(frozen=True, slots=True)
class Server:
    """A running POP3 server."""

    process: subprocess.Popen[bytes]
    address: tuple[str, int]
    log: Path

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


@contextmanager
def running(settings: Settings, folder: Path, **more: object) -> Iterator[Server]:
    """Run a server until the block ends."""
    (port,) = free_ports(1)
    own = {
        "control_url": settings.control_url,
        "shard_urls": " ".join(settings.shard_urls),
        "broker_url": settings.broker_url,
        "pop3_bind": f"{HOST}:{port}",
        **more,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAILRECALL_")}
    log = folder / "pop3.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "services.delivery.pop3"],
            env=inherited | {f"MAILRECALL_{name.upper()}": str(value) for name, value in own.items()},
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parents[1],
        )
    try:
        up = poll(lambda: process.poll() is not None or _listens((HOST, port)), timeout=PATIENCE)
        if not up or process.poll() is not None:
            raise RuntimeError(f"The POP3 server does not listen.\n{log.read_text()}")
        yield Server(process, (HOST, port), log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def _listens(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=1):
            return True
    except OSError:
        return False


class Client:
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

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Go on encrypted, once the server has said that it is ready."""
        self._file.close()
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self._file = self.socket.makefile("rb")

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self.socket.sendall(octets)

    def reply(self) -> str:
        """Read one line; empty once the server has closed the connection."""
        try:
            return self._file.readline().decode("latin-1").removesuffix("\r\n")
        except ConnectionResetError:
            return ""

    def lines(self) -> bytes:
        """Read the lines of a reply up to its end, as they are."""
        lines: list[bytes] = []
        while (line := self._file.readline()) != b".\r\n":
            assert line, f"the connection ended after {lines[-3:]!r}"
            lines.append(line)
        return b"".join(lines)

    def ask(self, command: str) -> str:
        """Send a command and read the first line of its reply."""
        self.send(command.encode() + b"\r\n")
        return self.reply()

    def ask_lines(self, command: str) -> bytes:
        """Send a command that has a long answer and return that, as it is on the wire."""
        first = self.ask(command)
        assert first.startswith("+OK"), first
        return self.lines()

    def sign_in(self, account: Account) -> Self:
        """Sign somebody in."""
        assert self.ask(f"USER {account.address}").startswith("+OK")
        answer = self.ask(f"PASS {PASSWORD}")
        assert answer.startswith("+OK"), answer
        return self


def deliver(
    settings: Settings, databases: Databases, sender: Account, *recipients: Account, content: bytes = MESSAGE
) -> int:
    """Put a message, just these octets, into people's inboxes; returns its id, which its copies bear."""
    incoming = Incoming(
        author=author(sender),
        envelope_sender=sender.address,
        channel=Channel.WEBMAIL,
        content=content,
        summary=summarise(content),
        recipients=[addressee(recipient) for recipient in recipients],
        file_author_copy=False,
    )
    with databases.control() as connection:
        message_id = accept(connection, incoming, now=clock.now())
    dispatch.run(Process(settings, databases), Task.EXPAND, Task.DEPOSIT)
    return message_id
