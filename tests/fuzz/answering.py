"""The gateway as a process of its own, asked for spoilt things, and what it answers."""

import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from mailrecall.embedded.ports import HOST, free_ports
from mailrecall.settings import Settings
from tests import listening
from tests.fuzz.inputs import rounds
from tests.fuzz.throwing import AT_ONCE, Observer
from tests.listening import PATIENCE, Server

_STATUS = re.compile(rb"HTTP/1\.1 ([2345]\d\d) ")
_LED_AWAY = re.compile(rb"^(?:Location|HX-Redirect): /sign-in", re.MULTILINE | re.IGNORECASE)
_REACHED = re.compile(rb"^X-Request-Id: ", re.MULTILINE | re.IGNORECASE)
_OUTSIDE = {401, 403}


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back."""

    statuses: Counter[int]
    inside: int
    """How many of them came from behind the sign-in."""

    @property
    def share_inside(self) -> float:
        """The part that came from behind the sign-in."""
        return self.inside / self.statuses.total()


@contextmanager
def running(settings: Settings, folder: Path) -> Iterator[tuple[Server, int]]:
    """Run a gateway until the block ends; gives its port as well."""
    (port,) = free_ports(1)
    # no answer of 429 is to hide one of 500
    unlimited = {"password_guesses": 10_000, "rate_limit_account": "", "rate_limit_address": ""}
    variables = listening.environment(settings, gateway_bind=f"{HOST}:{port}", gateway_workers=3, **unlimited)
    command = ["--config=python:services.gateway.gunicorn_conf", "services.gateway.wsgi:application"]
    with listening.listening("gunicorn", variables, folder / "gateway.log", (HOST, port), arguments=command) as server:
        yield server, port


def ask(server: Server, port: int, inputs: Iterable[bytes]) -> Answers:
    """Send each input over a connection of its own.

    Raises:
        AssertionError: an answer was a failure, or the gateway ended, failed, or grew without end.
    """
    observer = Observer(server, "request.failed")
    statuses, inside = Counter[int](), 0
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for some in rounds(inputs):
            failed = []
            for octets, answer in threads.map(lambda octets: (octets, _answer(port, octets)), some):
                found = _STATUS.match(answer)
                status = int(found[1]) if found else 0
                statuses[status] += 1
                inside += bool(_REACHED.search(answer)) and status not in _OUTSIDE and not _LED_AWAY.search(answer)
                if _is_failure(status, answer):
                    failed.append((answer[:40], octets))
            assert not failed, failed[:5]
            observer.look()
    click.echo(f"answers by status: {dict(sorted(statuses.items()))}, {inside} from behind the sign-in")
    return Answers(statuses, inside)


def _is_failure(status: int, answer: bytes) -> bool:
    # what the server does not know how to do at all is none, nor that too many ask at a time, if it says to come back
    come_back = status == 503 and b"\r\nretry-after:" in answer.lower()
    return status >= 500 and status != 501 and not come_back


def _answer(port: int, octets: bytes) -> bytes:
    answer = b""
    try:
        with socket.create_connection((HOST, port), timeout=PATIENCE) as connection:
            connection.sendall(octets)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                answer += part
    except ConnectionError:
        pass  # refused before everything was sent
    return answer
