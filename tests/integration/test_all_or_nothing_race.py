"""R13 against everybody at once: readers on all shards look for halves while those who carry a recall out keep dying.

A death is an exception at one of the fault points: the transaction is rolled back and the work left undone, as when a
process dies. tests/fault/test_fault_points.py kills processes.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from mailrecall import clock, faultpoints
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Fact, Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import State, Verdict
from mailrecall.mailstore import imap, pop3, reading
from mailrecall.mailstore.imap import Place
from mailrecall.outbox import store as outbox
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import correspondence, dispatch
from tests.undertaking import Undertaking

ATOMIC_RECALLS = int(os.environ.get("ATOMIC_RECALLS", "1000"))
"""Of the long test. Quicker: `ATOMIC_RECALLS=100 make test-long ARGS=tests/integration/test_all_or_nothing_race.py`."""
READERS = 3
MOVERS = 2
OUTAGES = (psycopg.OperationalError, PoolTimeout)
"""Among them a lock that somebody who decides holds for too long, and a transaction that was held up itself."""


class DiedError(Exception):
    """Whoever was at it is dead."""


@dataclass
class Deaths:
    """Has movers die at random points; readers, who decide too, live."""

    chance: random.Random
    mortal: threading.local = field(default_factory=threading.local)
    counted: Counter[str] = field(default_factory=Counter)

    def at(self, when: str) -> Callable[[faultpoints.Commit], None]:
        def point(commit: faultpoints.Commit) -> None:
            if getattr(self.mortal, "is_one", False) and self.chance.random() < 0.15:
                self.counted[f"{when}_{commit}"] += 1
                raise DiedError

        return point


@pytest.fixture(scope="module")
def databases(settings: Settings) -> Iterator[Databases]:
    databases = Databases(settings.model_copy(update={"decision_wait": 0.05, "pool_size": 10}), "race")
    yield databases
    databases.close()


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one copy, from its beginning to its end."""

    person: int
    way: str
    began: float
    ended: float
    there: bool


def listed(connection, who: Account, message_id: int) -> bool:
    return message_id in [entry.copy_id for entry in reading.list_folder(connection, who.id, Folder.INBOX, limit=5)]


WAYS = {
    "find": lambda c, who, m: reading.find(c, who.id, m) is not None,
    "list": listed,
    "content": lambda c, who, m: reading.content_of(c, who.id, m) is not None,
    "imap": lambda c, who, m: (
        m in [h.copy_id for h in imap.look(c, Place(who.id, Folder.INBOX), now=clock.now()).messages]
    ),
    "pop3": lambda c, who, m: m in [one.copy_id for one in pop3.maildrop(c, who.id)],
    "unread": lambda c, who, m: reading.mark_unread(c, who.id, m),
}
OPENING = {
    "open": lambda c, who, m: reading.open_copy(c, who.id, m, now=clock.now()) is not None,
    "fetch": lambda c, who, m: pop3.fetch(c, who.id, m, now=clock.now()) is not None,
}


def look_around(databases: Databases, undertaking: Undertaking, opens: float, over: threading.Event, seed: int):
    """Look at random copies until the recall is over, and a little longer."""
    chance = random.Random(seed)
    looks: list[Look] = []
    last_round = False
    while not last_round:
        last_round = over.is_set()
        for person in chance.sample(undertaking.others, len(undertaking.others)):
            ways = OPENING if chance.random() < opens else WAYS
            name = chance.choice(sorted(ways))
            began = time.monotonic()
            try:
                with databases.shard(person.shard) as connection:
                    there = ways[name](connection, person, undertaking.message_id)
            except OUTAGES:
                continue  # held up while deciding, or behind somebody who was: people are told to try again
            # only now is it known: what is read counts once it is committed
            looks.append(Look(person.id, name, began, time.monotonic(), there))
    return looks


def move_on(process: Process[Settings], deaths: Deaths, over: threading.Event) -> None:
    """Do whatever work is due; what a death leaves undone is due again."""
    deaths.mortal.is_one = True
    while not over.is_set():
        with process.databases.control() as connection:
            due = outbox.take_due(connection, now=clock.now(), limit=2)
        for work in due:
            run = dispatch.USE_CASES.get(work.task)
            try:
                if run is not None:
                    run(process, work_id=work.work_id, now=clock.now(), **work.args)
            except (DiedError, *OUTAGES):
                with process.databases.control() as connection:
                    connection.execute("UPDATE outbox SET published_at = NULL WHERE id = %s", (work.work_id,))
        if not due:
            time.sleep(0.005)


def halves(looks: list[Look]) -> list[tuple[Look, Look]]:
    """Looks that found a copy although they began after another one had ended that found one gone."""
    gone = [look for look in looks if not look.there]
    if not gone:
        return []
    first = min(gone, key=lambda look: look.ended)
    return [(first, look) for look in looks if look.there and look.began > first.ended]


def race(process: Process[Settings], deaths: Deaths, number: int) -> Verdict | None:
    """Run one recall under readers and deaths; return how it was decided."""
    delivered = number % 4 != 3
    undertaking = Undertaking(process, people=9, delivered=delivered)
    kind = number % 3
    if kind == 1 and delivered:
        correspondence.happen(process.databases, undertaking.others[number % 8], undertaking.message_id, Fact.READ)
    undertaking.ask()
    over = threading.Event()
    with ThreadPoolExecutor(READERS + MOVERS) as threads:
        opens = 0.1 if kind == 2 else 0.0
        readers = [
            threads.submit(look_around, process.databases, undertaking, opens, over, 1000 * number + reader)
            for reader in range(READERS if delivered else 0)
        ]
        movers = [threads.submit(move_on, process, deaths, over) for _ in range(MOVERS)]
        until = time.monotonic() + 120
        while undertaking.view.state is not State.SETTLED and time.monotonic() < until:
            time.sleep(0.01)
        over.set()
        for mover in movers:
            mover.result()
        looks = [look for reader in readers for look in reader.result()]
    # what was put off until the decision, or left to a dead hand
    with process.databases.control() as connection:
        connection.execute("UPDATE outbox SET published_at = NULL")
    dispatch.run(process, now=clock.now() + timedelta(minutes=1))
    check(undertaking, looks)
    return undertaking.verdict()


def check(undertaking: Undertaking, looks: list[Look]) -> None:
    view, ledger = undertaking.view, undertaking.outcomes
    assert view.state is State.SETTLED
    assert halves(looks) == []
    assert sorted(mailbox_id for mailbox_id, _ in ledger.rows) == sorted(person.id for person in undertaking.others)
    assert dict(view.tally.counts) == dict(ledger.counts)
    assert undertaking.marked() == set()
    assert undertaking.left_over() == 0
    opened = {look.person for look in looks if look.there and look.way in OPENING}
    if undertaking.verdict() is Verdict.COMMIT:
        assert ledger.counts == {Outcome.RECALLED: len(undertaking.others)}
        assert undertaking.with_copy() == []
        assert opened == set()
    else:
        assert ledger.counts[Outcome.RECALLED] == 0
        assert undertaking.with_copy() == undertaking.others
        assert all(look.there for look in looks)


def run_races(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, count: int, first: int = 0
) -> Counter[Verdict | None]:
    deaths = Deaths(random.Random(first))
    for when in ("before", "after"):
        monkeypatch.setattr(faultpoints, when, deaths.at(when))
    process = Process(databases.settings.model_copy(update={"batch_size": 2}), databases)
    verdicts = Counter(race(process, deaths, first + number) for number in range(count))
    # it was a race, and they did die
    assert verdicts[Verdict.COMMIT]
    assert verdicts[Verdict.RELEASE]
    assert set(verdicts) == {Verdict.COMMIT, Verdict.RELEASE}
    assert deaths.counted.total() > count
    return verdicts


@pytest.mark.rule(13)
def test_r13_nobody_sees_half_of_a_recall_while_those_who_carry_it_out_die(databases, monkeypatch):
    run_races(databases, monkeypatch, 20)


@pytest.mark.long
@pytest.mark.rule(13)
@pytest.mark.timeout(7200)
def test_r13_nobody_sees_half_of_a_thousand_recalls(databases, monkeypatch):
    run_races(databases, monkeypatch, ATOMIC_RECALLS, first=10_000)
