"""Mail, reads, recalls, repeated tasks and moves in any order, beside a model of a few lines that knows of no shards.

Whatever is done in whatever order, wherever the mover is killed: everybody gets one copy, what was read stays, what was
not goes, each recipient has one outcome, and the counts add up.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mailrecall import clock
from mailrecall.directory.lookup import Account, account_by_id
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import State
from mailrecall.mailstore import reading, residence
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import views
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.shards import moving
from mailrecall.wiring import Process
from tests import company as companies
from tests import correspondence
from tests.company import Company
from tests.moving import Todo, copies, move, open_work, run_all, run_one, shard_of
from tests.servers import Servers

PEOPLE = 6
SHARDS = 3

who = st.integers(0, PEOPLE - 1)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("work"), st.integers(0, 20)),
        st.tuples(st.just("work"), st.integers(0, 20)),
        st.tuples(st.just("repeat"), st.integers(0, 50)),
        st.tuples(st.just("read"), who),
        st.tuples(st.just("recall")),
        st.tuples(st.just("end_interrupted")),
        st.tuples(
            st.just("move"),
            st.sets(who, min_size=1),
            st.integers(0, SHARDS - 1),
            st.one_of(st.none(), st.sampled_from(moving.STEPS)),
        ),
    ),
    min_size=4,
    max_size=20,
)


@pytest.fixture(scope="module")
def settings(servers: Servers) -> Iterator[Settings]:
    with servers.fresh_settings(shards=SHARDS, batch_size=2) as settings:
        yield settings


@pytest.fixture(scope="module")
def process(settings: Settings) -> Iterator[Process[Settings]]:
    databases = Databases(settings, "tests")
    yield Process(settings, databases)
    databases.close()


@pytest.fixture(scope="module")
def company(process: Process[Settings]) -> Company:
    """The same people for all examples, wherever the last one left them."""
    return companies.found(process.databases, people=PEOPLE)


@dataclass(slots=True)
class Model:
    """What must be so, whatever shards do."""

    message_id: int
    read: set[int] = field(default_factory=set)
    recall_id: int | None = None


@hypothesis_settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(operations=operations)
def test_moves_change_nothing_that_people_can_see(
    process: Process[Settings], company: Company, operations: list[tuple[object, ...]]
):
    team = companies.group(process.databases, f"{companies.unique_domain('team')}@{company.domain}", company.people)
    model = Model(correspondence.send(process.databases, company.postmaster, team))
    done: list[Todo] = []
    for operation in operations:
        _do(process, company, model, done, operation)
    run_all(process)
    _check(process, company, model)


def _do(
    process: Process[Settings],
    company: Company,
    model: Model,
    done: list[Todo],
    operation: tuple[object, ...],
) -> None:
    match operation:
        case ("work", int(number)):
            todo = open_work(process.databases)
            if todo:
                done.append(todo[number % len(todo)])
                run_one(process, done[-1])
        case ("repeat", int(number)) if done:
            # its batch may have gone meanwhile: a worker would find the work closed
            with suppress(LookupError):
                run_one(process, done[number % len(done)])
        case ("read", int(number)):
            # with what a long-lived process knew when it started
            with suppress(psycopg.OperationalError):
                if _read(process.databases, company.people[number], model.message_id):
                    model.read.add(company.people[number].id)
        case ("recall",) if model.recall_id is None:
            asked = correspondence.ask(process.databases, company.postmaster, model.message_id)
            assert isinstance(asked, Requested)
            model.recall_id = asked.recall.id
        case ("end_interrupted",):
            moving.end_interrupted(process.settings, process.databases, now=clock.now())
        case ("move", set(numbers), int(target), step):
            moving.end_interrupted(process.settings, process.databases, now=clock.now())
            people = [company.people[number] for number in sorted(numbers)]
            move(process.settings, process.databases, people, target, until=None if step is None else str(step))


def _read(databases: Databases, account: Account, message_id: int) -> bool:
    with databases.control() as connection:
        found = account_by_id(connection, account.id)
    assert found is not None
    with residence.mailbox(databases, found) as connection:
        return reading.open_copy(connection, found.id, message_id, now=clock.now()) is not None


def _check(process: Process[Settings], company: Company, model: Model) -> None:
    everybody = {one.id for one in company.people}
    there = everybody if model.recall_id is None else model.read
    assert copies(process.databases, model.message_id) == {
        (one.id, shard_of(process.databases, one)): 1 for one in company.people if one.id in there
    }
    if model.recall_id is None:
        return
    ledger = correspondence.ledger(process.databases, model.recall_id)
    assert sorted(ledger.rows) == sorted(
        (one, Outcome.ALREADY_READ if one in model.read else Outcome.RECALLED) for one in everybody
    )
    with process.databases.control() as connection:
        view = views.get(connection, model.recall_id)
    assert view is not None
    assert view.state is State.SETTLED
    assert view.tally.total == view.recipients == len(everybody)
    assert view.tally[Outcome.ALREADY_READ] == len(model.read)
