"""The POP3 server as a process of its own, mail for it to serve, and a client that talks to it octet by octet."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.recalls import Channel
from mailrecall.embedded.ports import HOST, free_ports
from mailrecall.messages.acceptance import Incoming, accept
from mailrecall.mime.summary import summarise
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import dispatch, listening
from tests.company import PASSWORD
from tests.correspondence import addressee, author
from tests.listening import Server, Talker

MESSAGE = b"From: ada@here.example\r\nTo: bob@here.example\r\nSubject: Minutes\r\n\r\nfirst\r\nsecond\r\nthird\r\n"


@dataclass(frozen=True, slots=True)
class Pop3(Server):
    """A running POP3 server."""

    address: tuple[str, int]


@contextmanager
def running(settings: Settings, folder: Path, **more: object) -> Iterator[Pop3]:
    """Run a server until the block ends."""
    (port,) = free_ports(1)
    variables = listening.environment(settings, **{"pop3_bind": f"{HOST}:{port}", **more})
    address = HOST, port
    with listening.listening("services.delivery.pop3", variables, folder / "pop3.log", address) as server:
        yield Pop3(server.process, server.log, address)


class Client(Talker):
    """A client of POP3; a reply is one line, and some have more after it."""

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
