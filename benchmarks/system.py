"""The whole system as its users meet it: HTTP requests in, and a clock until what they asked for is true."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import httpx

from benchmarks.dataset import Company
from benchmarks.errors import BenchmarkError
from benchmarks.place import PASSWORD, PAUSE, Place, until
from mailrecall.domain.copies import message_of
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "system.sql")


@dataclass(frozen=True, slots=True)
class Recalled:
    """One recall through the whole system."""

    number: int
    answered: float
    """Seconds until the request was answered."""
    settled: float
    """Seconds until the last outcome was committed, on the shards, and counted in the control database."""
    reported: float
    """Seconds until the report mail could be read."""
    log_octets: int
    """Write-ahead log of all databases until it was settled."""
    told: Counter[str]
    """The outcomes that the API tells."""


class Person:
    """Somebody at the HTTP API."""

    def __init__(self, place: Place, address: str) -> None:
        """Prepare somebody; `with` signs them in."""
        self._place = place
        self._address = address
        self._http = httpx.Client(base_url=f"{place.session.gateway_url}/api/v1", timeout=120.0, trust_env=False)

    def __enter__(self) -> Self:
        answer = self._http.post("/tokens", auth=(self._address, PASSWORD))
        self._http.headers["Authorization"] = f"Bearer {_checked(answer).json()['token']}"
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, to: str, subject: str) -> int:
        """Send a message that goes out at once; returns its id."""
        message = {"to": [to], "subject": subject, "text": "This will be taken back.\n" * 20, "delay": 0}
        sent: int = _checked(self._http.post("/messages", json=message)).json()["id"]
        return message_of(sent)

    def deliver(self, to: str, subject: str) -> tuple[int, float]:
        """Send a message and wait until the last copy can be read; returns its id and the seconds since the request."""
        begun = time.perf_counter()
        message_id = self.send(to, subject)
        until(lambda: self.is_delivered(message_id))
        return message_id, time.perf_counter() - begun

    def is_delivered(self, message_id: int) -> bool:
        """Tell whether every copy of a message has been deposited."""
        row = self._place.control.execute(_SQL["delivered"], {"message_id": message_id}).fetchone()
        return bool(row and row[0])

    def recall(self, message_id: int) -> Recalled:
        """Take a message back and follow it until its report can be read."""
        log_before = self._place.log_position()
        begun = time.perf_counter()
        public_id = self.ask(message_id)
        answered = time.perf_counter() - begun
        number = self.await_settled(public_id)
        settled = time.perf_counter() - begun
        log_octets = self._place.log_position() - log_before
        self._await_report(number)
        reported = time.perf_counter() - begun
        view = _checked(self._http.get(f"/recalls/{public_id}")).json()
        return Recalled(number, answered, settled, reported, log_octets, Counter(view["outcomes"]))

    def ask(self, message_id: int) -> str:
        """Ask for a message to be taken back; returns the recall's public id."""
        asked = self._http.post("/recalls", json={"message_id": message_id, "reason": "A benchmark."})
        public_id: str = _checked(asked).json()["id"]
        return public_id

    def ask_for_all(self, message_ids: Sequence[int]) -> str:
        """Ask as an administrator for several messages to be taken back; returns the request's public id."""
        asked = self._http.post("/admin/recall-batches", json={"message_ids": message_ids, "reason": "A benchmark."})
        public_id: str = _checked(asked).json()["id"]
        return public_id

    @property
    def bearer(self) -> dict[str, str]:
        """The header that says who this is."""
        return {"Authorization": self._http.headers["Authorization"]}

    def await_settled(self, public_id: str, *, pause: float = PAUSE) -> int:
        """Wait until a recall is settled, looking again after a pause in seconds; returns its number."""
        until(lambda: self._state(public_id)[1] == "settled", pause=pause)
        return self._state(public_id)[0]

    def read(self, message_id: int) -> None:
        """Open a message."""
        _checked(self._http.get(f"/messages/{message_id}"))

    def _state(self, public_id: str) -> tuple[int, str]:
        row = self._place.control.execute(_SQL["state"], {"public_id": public_id}).fetchone()
        if row is None:
            raise BenchmarkError(f"There is no recall {public_id}.")
        return row[0], row[1]

    def _await_report(self, number: int) -> None:
        report: list[int] = []

        def written() -> bool:
            row = self._place.control.execute(_SQL["report"], {"recall_id": number}).fetchone()
            if row and row[0] is not None:
                report.append(row[0])
            return bool(report)

        until(written)
        until(lambda: self.is_delivered(report[0]))
        self.read(report[0])


def author(place: Place, company: Company) -> Person:
    """Return who writes to the groups."""
    return Person(place, company.account(1))


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        request = response.request
        raise BenchmarkError(
            f"{request.method} {request.url.path} answered {response.status_code}: {response.text[:300]}"
        )
    return response
