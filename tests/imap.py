"""The IMAP server as a process of its own, and clients that talk to it."""

import imaplib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mailrecall.directory.lookup import Account
from mailrecall.embedded.ports import HOST, free_ports
from mailrecall.settings import Settings
from tests import company, listening
from tests.listening import PATIENCE, Server, address_of


@dataclass(frozen=True, slots=True)
class Imap(Server):
    """A running IMAP server."""

    address: tuple[str, int]
    encrypted: tuple[str, int] | None


@contextmanager
def running(settings: Settings, folder: Path, **more: object) -> Iterator[Imap]:
    """Run an IMAP server until the block ends; unless told otherwise, its port is a free one."""
    (port,) = free_ports(1)
    own = {"hostname": "imap.example.org", "imap_bind": f"{HOST}:{port}", **more}
    variables = listening.environment(settings, **own)
    address = address_of(variables["MAILRECALL_IMAP_BIND"])
    imaps = variables.get("MAILRECALL_IMAPS_BIND")
    with listening.listening("services.delivery.imap", variables, folder / "imap.log", address) as server:
        yield Imap(server.process, server.log, address, address_of(imaps) if imaps else None)


class Client(imaplib.IMAP4):
    """A mail program, signed in, with a folder open."""

    def __init__(self, address: tuple[str, int], account: Account | None = None, folder: str | None = "INBOX") -> None:
        super().__init__(*address, timeout=PATIENCE)
        if account is not None:
            self.login(account.address, company.PASSWORD)
            if folder is not None:
                self.open_folder(folder)

    def __exit__(self, *args: object) -> None:
        # a connection that either side has closed already needs no goodbye
        with suppress(OSError):
            self.shutdown()

    def __enter__(self) -> Self:
        return self

    def open_folder(self, name: str, *, readonly: bool = False) -> int:
        """Select a folder; how many messages it has."""
        status, data = self.select(name, readonly)
        assert status == "OK", data
        return int(data[0] or b"0")

    def ok(self, command: str, *arguments: str) -> list[Any]:
        """Run a UID command that must succeed; its untagged answers."""
        status, data = self.uid(command, *arguments)
        assert status == "OK", data
        return data

    def octets(self, uid: int, attribute: str) -> bytes:
        """Fetch one text of one message."""
        (answer, *_rest) = self.ok("FETCH", str(uid), f"({attribute})")
        assert isinstance(answer, tuple), answer
        found: bytes = answer[1]
        return found

    def uids(self, criteria: str = "ALL") -> list[int]:
        """Search; UIDs."""
        (found,) = self.ok("SEARCH", criteria)
        return [int(uid) for uid in found.split()]

    def idle(self) -> None:
        """Begin to idle."""
        self.send(b"I1 IDLE\r\n")
        line = self.readline()
        while line.startswith(b"*"):
            line = self.readline()
        assert line.startswith(b"+"), line

    def told(self) -> bytes:
        """Wait for the next line while idling."""
        return self.readline().rstrip(b"\r\n")

    def done(self) -> list[bytes]:
        """Idle no longer; what was told in between."""
        self.send(b"DONE\r\n")
        lines = [self.told()]
        while not lines[-1].startswith(b"I1 "):
            lines.append(self.told())
        assert lines[-1].startswith(b"I1 OK"), lines
        return lines[:-1]
