"""The IMAP server as a process of its own, and clients that talk to it."""

import imaplib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mailrecall.directory.lookup import Account
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.ports import HOST, free_ports
from mailrecall.settings import Settings
from tests import company
from tests.intake import PATIENCE, _address, _listens


@dataclass(frozen=True, slots=True)
class Imap:
    """A running IMAP server."""

    process: subprocess.Popen[bytes]
    address: tuple[str, int]
    log: Path
    encrypted: tuple[str, int] | None

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


def environment(settings: Settings, **more: object) -> dict[str, str]:
    """What an IMAP server with these settings finds in its environment; its port is a free one."""
    (port,) = free_ports(1)
    own = {
        "control_url": settings.control_url,
        "shard_urls": " ".join(settings.shard_urls),
        "broker_url": settings.broker_url,
        "hostname": "imap.example.org",
        "imap_bind": f"{HOST}:{port}",
        **more,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAILRECALL_")}
    return inherited | {f"MAILRECALL_{name.upper()}": str(value) for name, value in own.items()}


@contextmanager
def running(settings: Settings, folder: Path, **more: object) -> Iterator[Imap]:
    """Run an IMAP server until the block ends."""
    variables = environment(settings, **more)
    log = folder / "imap.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.delivery.imap"],
            env=variables,
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parents[1],
        )
    try:
        address = _address(variables["MAILRECALL_IMAP_BIND"])
        imaps = variables.get("MAILRECALL_IMAPS_BIND")
        if not poll(lambda: process.poll() is not None or _listens(address), timeout=PATIENCE) or process.poll():
            raise RuntimeError(f"IMAP does not listen.\n{log.read_text()}")
        yield Imap(process, address, log, _address(imaps) if imaps else None)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


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
