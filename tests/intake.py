"""The intake as a process of its own, and a client that talks to it octet by octet."""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.ports import HOST, free_ports
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings

PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Intake:
    """A running intake."""

    process: subprocess.Popen[bytes]
    smtp: tuple[str, int]
    lmtp: tuple[str, int]
    log: Path

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


def environment(settings: Settings, **more: object) -> dict[str, str]:
    """What an intake with these settings finds in its environment; its ports are free ones."""
    smtp, lmtp = free_ports(2)
    own = {
        "control_url": settings.control_url,
        "shard_urls": " ".join(settings.shard_urls),
        "broker_url": settings.broker_url,
        "hostname": "mx.example.org",
        "smtp_bind": f"{HOST}:{smtp}",
        "lmtp_bind": f"{HOST}:{lmtp}",
        **more,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAILRECALL_")}
    return inherited | {f"MAILRECALL_{name.upper()}": str(value) for name, value in own.items()}


@contextmanager
def running(settings: Settings, folder: Path, **more: object) -> Iterator[Intake]:
    """Run an intake until the block ends."""
    variables = environment(settings, **more)
    log = folder / "intake.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.delivery.intake"],
            env=variables,
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parents[1],
        )
    try:
        smtp, lmtp = (_address(variables[f"MAILRECALL_{name}_BIND"]) for name in ("SMTP", "LMTP"))
        up = poll(lambda: process.poll() is not None or (_listens(smtp) and _listens(lmtp)), timeout=PATIENCE)
        if not up or process.poll() is not None:
            raise RuntimeError(f"The intake does not listen.\n{log.read_text()}")
        yield Intake(process, smtp, lmtp, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def _address(bind: str) -> tuple[str, int]:
    host, _, port = bind.rpartition(":")
    return host, int(port)


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

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self.socket.sendall(octets)

    def reply(self) -> str:
        """Read one reply, all of its lines; empty once the server has closed the connection."""
        lines = []
        while True:
            try:
                line = self._file.readline()
            except ConnectionResetError:
                line = b""
            lines.append(line.decode().rstrip("\r\n"))
            if line[3:4] != b"-":
                return "\n".join(lines)

    def ask(self, command: str) -> str:
        """Send a command and read its reply."""
        self.send(command.encode() + b"\r\n")
        return self.reply()

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Go on encrypted, once the server has said that it is ready."""
        self._file.close()
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self._file = self.socket.makefile("rb")

    def silent(self, seconds: float = 0.1) -> bool:
        """Tell whether the server has nothing to say for a while."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as the control database has it."""

    id: int
    envelope_sender: str
    channel: str
    sender_account_id: int | None
    content: bytes
    subject: str
    recipients: Sequence[tuple[str, str, int | None]]


def stored(databases: Databases, message_id: int) -> Stored:
    """Read a message by queries of its own."""
    with databases.control() as connection:
        row = connection.execute(
            "SELECT m.id, envelope_sender, channel, sender_account_id, content, subject"
            "  FROM message m JOIN message_content c ON c.message_id = m.id WHERE m.id = %s",
            (message_id,),
        ).fetchone()
        recipients = connection.execute(
            "SELECT address, kind, account_id FROM envelope_recipient WHERE message_id = %s ORDER BY position",
            (message_id,),
        ).fetchall()
    assert row is not None
    known_id, envelope_sender, channel, sender_account_id, content, subject = row
    return Stored(known_id, envelope_sender, channel, sender_account_id, bytes(content), subject, recipients)


def count(databases: Databases) -> int:
    """Count the messages there are."""
    with databases.control() as connection:
        row = connection.execute("SELECT count(*) FROM message").fetchone()
    assert row is not None
    number: int = row[0]
    return number
