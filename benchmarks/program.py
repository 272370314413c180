"""What is measured, in its order: everything that is compared is done in turns, round after round, in one run."""

import platform
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
from celery import Celery

from benchmarks import bare, books, crowding, dovecot, memory, per_recipient
from benchmarks.dataset import BACKGROUND, Company
from benchmarks.dovecot import Dovecot
from benchmarks.errors import BenchmarkError
from benchmarks.place import Place
from benchmarks.samples import Samples
from benchmarks.system import Person, Recalled, author

PARTS = ("growth", "rounds", "crowding")
"""In their order: growth looks at the memory of processes that have not yet done the largest recall."""

Tell = Callable[[str], None]
"""Tells whoever waits what was just done, a line at a time."""


@dataclass(slots=True)
class Rounds:
    """The measurements of the rounds, in units a second unless the name says otherwise."""

    samples: dict[str, Samples] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Add one."""
        self.samples.setdefault(name, Samples()).add(value)

    def as_json(self) -> dict[str, object]:
        """Return all by name."""
        return {name: samples.as_json() for name, samples in self.samples.items()}


class Program:
    """One run of the benchmark."""

    def __init__(self, place: Place, company: Company, *, rounds: int, tell: Tell) -> None:
        """Prepare a run."""
        self._place, self._company = place, company
        self._count, self._tell = rounds, tell
        self._rounds = Rounds()
        self._outcomes: dict[str, int] = {}

    def run(self, parts: Collection[str] = PARTS) -> dict[str, Any]:
        """Measure everything, or some parts.

        Raises:
            BenchmarkError: what was measured did not do what it should.
        """
        place, company = self._place, self._company
        result: dict[str, Any] = {"server": place.durability()}
        result |= {
            "mailboxes": company.mailboxes,
            "older_mails_each": BACKGROUND,
            "shards": len(place.shards),
            "rounds_each": self._count,
        }
        with author(place, company) as writer:
            self._warm(writer)
            if "growth" in parts:
                result["growth"] = [self._grow(writer, size) for size in company.sizes]
            if "rounds" in parts:
                self._compare(writer)
                result["rounds"] = self._rounds.as_json()
                result["outcomes"] = self._outcomes
            if "crowding" in parts:
                result["crowding"] = self._crowding(writer)
        if dovecot.installed():
            result["dovecot"] = {"version": dovecot.version(), "users": dovecot.USERS}
        return result

    def _compare(self, writer: Person) -> None:
        with per_recipient.running(self._place) as naive, _dovecot_where_installed(self._tell) as mail_server:
            for number in range(1, self._count + 1):
                self._round(number, writer, naive, mail_server)

    def _warm(self, writer: Person) -> None:
        """Have every process open its connections and load its code."""
        for _ in range(2 * len(self._place.shards)):
            message_id, _seconds = writer.deliver(self._company.group(self._company.sizes[0]), "Warming up")
            self._clear(message_id, writer.recall(message_id).number)

    def _round(self, number: int, writer: Person, naive: Celery, mail_server: Dovecot | None) -> None:
        turns: list[Callable[[], None]] = [
            lambda: self._bare("ranges"),
            lambda: self._whole(writer),
            lambda: self._bare("product_ranges"),
            lambda: self._naive(naive),
            lambda: self._bare("one_a_shard"),
        ]
        if mail_server is not None:
            turns.append(lambda: self._rounds.add("doveadm_expunge", dovecot.USERS / mail_server.expunge()))
        # whoever goes first in one round goes last in the next
        for turn in turns if number % 2 else reversed(turns):
            turn()
        latest = {name: round(samples.values[-1]) for name, samples in self._rounds.samples.items()}
        self._tell(f"round {number} of {self._count}: {latest}")

    def _bare(self, form: str) -> None:
        place, company, size = self._place, self._company, self._company.mailboxes
        place.checkpoint()
        message_id, seconds = bare.deliver(place, company, size, range_size=bare.FORMS[form])
        self._rounds.add(f"bare_copy_{form}", size / seconds)
        books.check_delivered(place, company, size, message_id)
        self._age(message_id)
        before = place.log_position()
        seconds = bare.withdraw(place, company, size, message_id, range_size=bare.FORMS[form])
        self._rounds.add(f"bare_{form}", size / seconds)
        self._rounds.add(f"bare_{form}_log_octets", (place.log_position() - before) / size)
        books.check_withdrawn(place, company, size, message_id, -message_id)
        self._clear(message_id, -message_id)

    def _whole(self, writer: Person) -> None:
        size = self._company.mailboxes
        message_id, seconds = self._deliver(writer, size)
        self._rounds.add("delivery", size / seconds)
        recalled = self._recall(writer, size, message_id)
        self._rounds.add("whole_system", size / recalled.settled)
        self._rounds.add("whole_system_reported", size / recalled.reported)
        self._rounds.add("whole_system_log_octets", recalled.log_octets / size)

    def _deliver(self, writer: Person, size: int) -> tuple[int, float]:
        self._place.checkpoint()
        message_id, seconds = writer.deliver(self._company.group(size), "One mail too many")
        books.check_delivered(self._place, self._company, size, message_id)
        self._age(message_id)
        return message_id, seconds

    def _age(self, message_id: int) -> None:
        """Let people handle a message, and checkpoint: its recall logs whole pages, as one some time later does."""
        books.handle(self._place, message_id)
        self._place.checkpoint()

    def _recall(self, writer: Person, size: int, message_id: int) -> Recalled:
        recalled = writer.recall(message_id)
        counted = books.check_withdrawn(self._place, self._company, size, message_id, recalled.number)
        if counted != recalled.told:
            raise BenchmarkError(f"The API tells {dict(recalled.told)}, and the shards have {dict(counted)}.")
        self._outcomes = dict(counted)
        self._clear(message_id, recalled.number)
        return recalled

    def _naive(self, app: Celery) -> None:
        size = min(per_recipient.RECIPIENTS, self._company.mailboxes)
        message_id, _seconds = bare.deliver(self._place, self._company, size, range_size=None)
        books.check_delivered(self._place, self._company, size, message_id)
        self._age(message_id)
        seconds = per_recipient.withdraw(self._place, app, message_id, -message_id, size)
        self._rounds.add("task_per_recipient", size / seconds)
        books.check_withdrawn(self._place, self._company, size, message_id, -message_id)
        self._clear(message_id, -message_id)

    def _grow(self, writer: Person, size: int) -> dict[str, object]:
        memory.forget_peaks(self._place.session)
        rounds = Rounds()
        for _ in range(self._count):
            message_id, seconds = self._deliver(writer, size)
            rounds.add("delivered_seconds", seconds)
            recalled = self._recall(writer, size, message_id)
            rounds.add("answered_seconds", recalled.answered)
            rounds.add("settled_seconds", recalled.settled)
            rounds.add("reported_seconds", recalled.reported)
        self._tell(f"{size:,} recipients: settled after {rounds.samples['settled_seconds'].median:.3f} s")
        peaks = memory.peaks(self._place.session)
        return {
            "recipients": size,
            **rounds.as_json(),
            "peak_mib": memory.largest(peaks),
            "processes": [peak.as_json() for peak in peaks],
        }

    def _crowding(self, writer: Person) -> dict[str, object]:
        place, company, size = self._place, self._company, self._company.mailboxes

        def deliver() -> int:
            message_id, _seconds = self._deliver(writer, size)
            return message_id

        def finish(message_id: int, number: int) -> None:
            books.check_withdrawn(place, company, size, message_id, number)
            self._clear(message_id, number)

        return crowding.measure(place, company, writer, deliver, finish)

    def _clear(self, message_id: int, recall_id: int) -> None:
        books.clear(self._place, message_id, recall_id)


@contextmanager
def _dovecot_where_installed(tell: Tell) -> Iterator[Dovecot | None]:
    if not dovecot.installed():
        tell("Dovecot is not installed here, or we are not root: left out")
        yield None
        return
    with dovecot.running() as mail_server:
        yield mail_server


def machine() -> dict[str, object]:
    """Return what the figures are taken on; to be asked before anything is built, because that is a load itself."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "load_before": psutil.getloadavg()[0],
    }
