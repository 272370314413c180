"""Fairness: how long small recalls and reading take while a large recall runs, against how long they take alone."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from threading import Event

from benchmarks.dataset import Company
from benchmarks.place import Place
from benchmarks.samples import Latency
from benchmarks.system import Person

SAMPLES = 300
"""Small recalls, and as many readings, that are measured in each state at the least."""
_MOST_LARGE = 60
"""Large recalls that are begun one after another to have something for the small ones to be beside."""
_A_LAP = 240
"""Small mails that are there to be taken back, and mails to be read, when a lap begins."""
_AUTHORS, _READER, _FIRST_RECIPIENT, _RECIPIENTS = (11, 12, 13), 14, 20, 400
"""Accounts: who recall small mails, who reads, and those who get the small mails."""
_READERS = 2
"""Windows in which the reader reads."""
_PAUSE = 0.005
"""Seconds between two looks whether a small recall is settled: several look at once, alone and beside a large one."""

Span = tuple[float, float]
"""When something was asked for and when it was so, by the clock of this process."""


@dataclass(slots=True)
class Spans:
    """What the clients met in a lap, or in several."""

    answered: list[Span] = field(default_factory=list)
    """A request to recall from one recipient, until it was answered."""
    settled: list[Span] = field(default_factory=list)
    """The same until the recall was settled."""
    read: list[Span] = field(default_factory=list)
    """Opening a message for the first time."""
    dropped: int = 0
    """Spans that ended after the lap's end, in either state: they do not count, for they were in it by a part only."""

    def take(self, lap: "Spans", until: float) -> None:
        """Add what another lap met, as far as it ended in time."""
        for mine, its in ((self.answered, lap.answered), (self.settled, lap.settled), (self.read, lap.read)):
            in_time = [span for span in its if span[1] <= until]
            mine.extend(in_time)
            self.dropped += len(its) - len(in_time)

    def are_enough(self) -> bool:
        """Tell whether a hundredth of each kind is more than one or two of them."""
        return min(len(self.settled), len(self.read)) >= SAMPLES

    def as_json(self) -> dict[str, object]:
        """Return what can be said of each kind."""
        kinds = {"small_recall_answered": self.answered, "small_recall_settled": self.settled, "read": self.read}
        durations = {name: [end - begin for begin, end in spans] for name, spans in kinds.items()}
        return {
            **{name: Latency.of(found).as_json() for name, found in durations.items() if found},
            "dropped": self.dropped,
        }


class Crowd:
    """People at work side by side, each on one thing at a time: some take small mails back, some read."""

    def __init__(self, place: Place, company: Company, people: ExitStack) -> None:
        """Sign everybody in."""
        self._place = place
        self._addresses = cycle(company.account(_FIRST_RECIPIENT + number) for number in range(_RECIPIENTS))
        self._reader_address = company.account(_READER)
        self._authors = [people.enter_context(Person(place, company.account(number))) for number in _AUTHORS]
        self._readers = [people.enter_context(Person(place, self._reader_address)) for _ in range(_READERS)]
        self._letters: list[deque[int]] = [deque() for _ in _AUTHORS]
        self._unread: deque[int] = deque()

    def prepare(self) -> None:
        """Send what a lap works on, and wait until everything that this sets going has come to its end."""
        for author, letters in zip(self._authors, self._letters, strict=True):
            while len(letters) < _A_LAP // len(self._authors):
                letters.append(author.send(next(self._addresses), "A small mail"))
        while len(self._unread) < _A_LAP:
            self._unread.append(self._authors[0].send(self._reader_address, "To be read"))
        self._place.await_quiet()
        # as before a large recall
        self._place.checkpoint()

    def work(self, going: Callable[[], bool]) -> Spans:
        """Let all work as long as something goes on and they have work; returns what they met."""
        met = Spans()
        with ThreadPoolExecutor(len(self._authors) + len(self._readers)) as threads:
            sides = [
                *(
                    threads.submit(self._recall, *side, met, going)
                    for side in zip(self._authors, self._letters, strict=True)
                ),
                *(threads.submit(self._read, reader, met, going) for reader in self._readers),
            ]
            for side in sides:
                side.result()
        return met

    @staticmethod
    def _recall(author: Person, letters: deque[int], met: Spans, going: Callable[[], bool]) -> None:
        while letters and going():
            begun = time.perf_counter()
            public_id = author.ask(letters.popleft())
            met.answered.append((begun, time.perf_counter()))
            author.await_settled(public_id, pause=_PAUSE)
            met.settled.append((begun, time.perf_counter()))

    def _read(self, reader: Person, met: Spans, going: Callable[[], bool]) -> None:
        while going():
            try:
                message_id = self._unread.popleft()
            except IndexError:
                return
            begun = time.perf_counter()
            reader.read(message_id)
            met.read.append((begun, time.perf_counter()))
            # somebody who reads, not somebody who pulls as fast as the server can
            time.sleep(0.01)


def measure(
    place: Place,
    company: Company,
    author: Person,
    deliver: Callable[[], int],
    finish: Callable[[int, int], None],
) -> dict[str, object]:
    """Measure beside a large recall, then alone for as long as that took, in turns until there are enough samples.

    Args:
        place: where.
        company: whose mailboxes.
        author: who takes the large mails back.
        deliver: delivers a large mail and returns its id.
        finish: checks what became of a large mail and clears it away, by its id and the number of its recall.
    """
    idle, busy, large = Spans(), Spans(), 0
    with ExitStack() as people:
        crowd = Crowd(place, company, people)
        while large < _MOST_LARGE and not (idle.are_enough() and busy.are_enough()):
            large += 1
            crowd.prepare()
            message_id = deliver()
            place.await_quiet()
            number, seconds = _beside(crowd, author, message_id, busy)
            # its report is written and delivered
            place.await_quiet()
            finish(message_id, number)
            crowd.prepare()
            _alone(crowd, seconds, idle)
    return {"idle": idle.as_json(), "busy": busy.as_json(), "large_recalls": large}


def _beside(crowd: Crowd, author: Person, message_id: int, busy: Spans) -> tuple[int, float]:
    """Let the crowd work while a large mail is taken back; returns the recall's number and the seconds it took."""
    begun = time.perf_counter()
    public_id = author.ask(message_id)
    over = Event()

    def watch() -> tuple[int, float]:
        try:
            return author.await_settled(public_id), time.perf_counter()
        finally:
            over.set()

    with ThreadPoolExecutor(1) as watcher:
        large = watcher.submit(watch)
        met = crowd.work(lambda: not over.is_set())
        number, settled = large.result()
    busy.take(met, settled)
    return number, settled - begun


def _alone(crowd: Crowd, seconds: float, idle: Spans) -> None:
    end = time.perf_counter() + seconds
    idle.take(crowd.work(lambda: time.perf_counter() < end), end)
