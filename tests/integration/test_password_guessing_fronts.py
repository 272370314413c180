"""Wrong passwords count over SMTP, IMAP and POP3 as they do over HTTP, together, and outlive the processes."""

import base64
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest

from mailrecall.directory import guessing
from mailrecall.directory.lookup import Account
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company, imap, intake, pop3
from tests.company import PASSWORD
from tests.gateway import gateway, problem
from tests.listening import PATIENCE, Server

GUESSES = 2
ELSEWHERE = "127.0.0.2"


class Line:
    """A connection from an address of this machine that reads lines."""

    def __init__(self, to: tuple[str, int], origin: str) -> None:
        self._socket = socket.create_connection(to, timeout=PATIENCE, source_address=(origin, 0))
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def until(self, end: str) -> str:
        """Read up to a line that matches; return that."""
        while line := self._file.readline().decode().rstrip("\r\n"):
            if re.match(end, line):
                return line
        raise AssertionError(f"the connection ended without {end}")

    def ask(self, command: str, end: str) -> str:
        """Send a command and read up to the end of its answer."""
        self._socket.sendall(command.encode() + b"\r\n")
        return self.until(end)


def _plain(address: str, password: str) -> str:
    return base64.b64encode(f"\0{address}\0{password}".encode()).decode()


def _smtp(line: Line, address: str, password: str) -> str:
    line.until("220 ")
    line.ask("EHLO laptop.example.net", "250 ")
    return line.ask(f"AUTH PLAIN {_plain(address, password)}", r"\d{3} ")


def _imap_login(line: Line, address: str, password: str) -> str:
    line.until(r"\* OK ")
    return line.ask(f'a LOGIN {address} "{password}"', "a ")


def _imap_sasl(line: Line, address: str, password: str) -> str:
    line.until(r"\* OK ")
    line.ask("a AUTHENTICATE PLAIN", r"\+")
    return line.ask(_plain(address, password), "a ")


def _pop3_user(line: Line, address: str, password: str) -> str:
    line.until(r"\+OK")
    line.ask(f"USER {address}", r"\+OK")
    return line.ask(f"PASS {password}", r"[+-]")


def _pop3_sasl(line: Line, address: str, password: str) -> str:
    line.until(r"\+OK")
    return line.ask(f"AUTH PLAIN {_plain(address, password)}", r"[+-]")


@dataclass(frozen=True, slots=True)
class Front:
    """A protocol, and what its answers to a password look like."""

    run: Callable[..., AbstractContextManager[Server]]
    place: str
    sign_in: Callable[[Line, str, str], str]
    right: str
    wrong: str
    wait: str
    event: str

    def answer(self, server: Server, address: str, password: str, *, origin: str = "127.0.0.1") -> str:
        """Try a password over a connection of its own."""
        with Line(getattr(server, self.place), origin) as line:
            return self.sign_in(line, address, password)


_SMTP = Front(
    run=intake.running,
    place="smtp",
    sign_in=_smtp,
    right=r"235 2\.7\.0 ",
    wrong=r"535 5\.7\.8 ",
    wait=r"454 4\.7\.0 .*try again in (\d+) seconds",
    event="intake.guesses_throttled",
)
_IMAP = Front(
    run=imap.running,
    place="address",
    sign_in=_imap_login,
    right="a OK ",
    wrong=r"a NO \[AUTHENTICATIONFAILED\] ",
    wait=r"a NO \[UNAVAILABLE\] .*try again in (\d+) seconds",
    event="imap.guesses_throttled",
)
_POP3 = Front(
    run=pop3.running,
    place="address",
    sign_in=_pop3_user,
    right=r"\+OK ",
    wrong=r"-ERR \[AUTH\] ",
    wait=r"-ERR \[SYS/TEMP\] .*try again in (\d+) seconds",
    event="pop3.guesses_throttled",
)
FRONTS = {
    "smtp": _SMTP,
    "imap login": _IMAP,
    "imap sasl": replace(_IMAP, sign_in=_imap_sasl),
    "pop3 user": _POP3,
    "pop3 sasl": replace(_POP3, sign_in=_pop3_sasl),
}


@pytest.fixture
def people(databases: Databases) -> list[Account]:
    with databases.control() as control:
        control.execute("DELETE FROM password_guess")
    return list(company.found(databases, people=2).people)


@pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS)
def test_after_many_wrong_passwords_one_waits_and_then_gets_in(
    front: Front, settings: Settings, databases: Databases, people: list[Account], tmp_path: Path
):
    victim, other = (person.address for person in people)
    with front.run(settings, tmp_path, password_guesses=GUESSES) as server:
        for _ in range(GUESSES):
            assert re.match(front.wrong, front.answer(server, victim, "wrong"))
        told = re.match(front.wait, front.answer(server, victim, PASSWORD))
        assert told
        assert 0 < int(told[1]) <= guessing.WINDOW.total_seconds() + 1
        assert re.match(front.right, front.answer(server, other, PASSWORD))
        assert re.match(front.right, front.answer(server, victim, PASSWORD, origin=ELSEWHERE))

    # the process that counted is gone, and what it counted is not
    with front.run(settings, tmp_path, password_guesses=GUESSES) as server:
        assert re.match(front.wait, front.answer(server, victim, PASSWORD))
        with databases.control() as control:
            past = guessing.WINDOW + timedelta(seconds=1)
            control.execute("UPDATE password_guess SET since = since - %s", (past,))
        assert re.match(front.right, front.answer(server, victim, PASSWORD))
        said = server.log.read_text()

    assert front.event in said
    assert "@" not in said
    assert "127.0.0" not in re.sub(r'"(smtp|lmtp|imap|pop3|address|bind)": "127[^"]*"', "", said)


@pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS)
def test_a_right_password_takes_back_what_was_counted(
    front: Front, settings: Settings, people: list[Account], tmp_path: Path
):
    with front.run(settings, tmp_path, password_guesses=GUESSES) as server:
        for _ in range(GUESSES):
            assert re.match(front.wrong, front.answer(server, people[0].address, "wrong"))
            assert re.match(front.right, front.answer(server, people[0].address, PASSWORD))


@contextmanager
def all_fronts(settings: Settings, folder: Path) -> Iterator[list[tuple[Front, Server]]]:
    """Run a server of each protocol."""
    limit = {"password_guesses": 3}
    with (
        _SMTP.run(settings, folder, **limit) as first,
        _IMAP.run(settings, folder, **limit) as second,
        _POP3.run(settings, folder, **limit) as third,
    ):
        yield [(_SMTP, first), (_IMAP, second), (_POP3, third)]


def test_a_guesser_gains_nothing_by_another_protocol(
    settings: Settings, databases: Databases, people: list[Account], tmp_path: Path
):
    victim = people[0].address
    web = gateway(settings, databases, password_guesses=3)
    headers = {"Authorization": "Basic " + base64.b64encode(f"{victim}:{PASSWORD}".encode()).decode()}
    with all_fronts(settings, tmp_path) as fronts:
        for front, server in fronts:
            assert re.match(front.wrong, front.answer(server, victim, "wrong"))
        for front, server in fronts:
            assert re.match(front.wait, front.answer(server, victim, PASSWORD))
        problem(web.as_nobody().get("/account", headers=headers), 429, "too_many_guesses")


def test_waiting_ends_a_pop3_connection_as_wrong_passwords_do(
    settings: Settings, people: list[Account], tmp_path: Path
):
    with pop3.running(settings, tmp_path, password_guesses=1) as server, pop3.Client(server.address) as client:
        replies = []
        for _ in range(5):
            client.ask(f"USER {people[0].address}")
            replies.append(client.ask(f"PASS {PASSWORD}x"))
        assert [reply.split("]")[0] for reply in replies] == ["-ERR [AUTH", *["-ERR [SYS/TEMP"] * 4]
        assert client.reply() == ""
