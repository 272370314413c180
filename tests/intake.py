"""The intake as a process of its own, and a client that talks to it octet by octet."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailrecall.embedded.ports import HOST, free_ports
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import listening
from tests.listening import PATIENCE, Server, Talker, address_of


@dataclass(frozen=True, slots=True)
class Intake(Server):
    """A running intake."""

    smtp: tuple[str, int]
    lmtp: tuple[str, int]


def environment(settings: Settings, **more: object) -> dict[str, str]:
    """What an intake with these settings finds in its environment; its ports are free ones."""
    smtp, lmtp = free_ports(2)
    own = {
        "hostname": "mx.example.org",
        "smtp_bind": f"{HOST}:{smtp}",
        "lmtp_bind": f"{HOST}:{lmtp}",
        **more,
    }
    return listening.environment(settings, **own)


@contextmanager
def running(settings: Settings, folder: Path, **more: object) -> Iterator[Intake]:
    """Run an intake until the block ends."""
    variables = environment(settings, **more)
    smtp, lmtp = (address_of(variables[f"MAILRECALL_{name}_BIND"]) for name in ("SMTP", "LMTP"))
    with listening.listening("services.delivery.intake", variables, folder / "intake.log", smtp, lmtp) as server:
        yield Intake(server.process, server.log, smtp, lmtp)


class Client(Talker):
    """A client of submission or LMTP."""

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
