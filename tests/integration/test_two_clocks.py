"""What cannot be taken back is done when a time is over by two clocks: that of the worker, and the database's."""

from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.domain.recalls import State
from mailrecall.outbox.work import Task
from mailrecall.postgres import clocks
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import views
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.recall.purging import purge
from services.recall.reconciling import reconcile
from services.recall.ticking import tick
from tests import company, correspondence, dispatch

RETENTION = timedelta(days=7)
STEP = timedelta(days=30)
HOUR = timedelta(hours=1)


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 4}), databases)


def test_the_clock_that_is_behind_tells_what_is_over_and_the_one_ahead_what_begins(databases):
    now = clock.now()
    with databases.control() as connection:
        assert clocks.earlier(connection, now - STEP) == now - STEP
        assert clocks.later(connection, now + STEP) == now + STEP
        # each of them lies between two looks of this process, if both run on one machine
        assert now - HOUR < clocks.earlier(connection, now + STEP) < now + HOUR
        assert now - HOUR < clocks.later(connection, now - STEP) < now + HOUR


def is_purged(databases: Databases, recall_id: int) -> bool:
    with databases.control() as connection:
        row = connection.execute("SELECT purged_at IS NOT NULL FROM recall WHERE id = %s", (recall_id,)).fetchone()
    assert row is not None
    purged: bool = row[0]
    assert purged == (not correspondence.ledger(databases, recall_id).rows)
    return purged


def recalled(process: Process[Settings], *, settled_by: timedelta = timedelta()) -> int:
    """A recall that a worker settled whose clock is ahead by so much; its report is written."""
    databases = process.databases
    sender, *others = company.found(databases, people=4).people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)
    with databases.control() as connection:
        connection.execute("UPDATE outbox SET due_at = due_at - %s WHERE task = 'recall.withdraw'", (STEP + STEP,))
    dispatch.run(process, Task.WITHDRAW, now=clock.now() + settled_by)
    with databases.control() as connection:
        connection.execute("DELETE FROM outbox WHERE task = 'reports.summarise'")
    return asked.recall.id


@pytest.mark.rule(26)
@pytest.mark.parametrize("ahead", ["the worker's", "the database's"])
def test_r26_one_clock_that_is_ahead_purges_nothing(process, ahead):
    recall_id = recalled(process)
    over = timedelta(days=1)
    with process.databases.control() as connection:
        # by the clock that is right, a day is missing yet; by the other it is over for long
        age = RETENTION - over if ahead == "the worker's" else RETENTION + STEP - over
        connection.execute("UPDATE recall SET settled_at = settled_at - %s WHERE id = %s", (age, recall_id))
    skew = STEP if ahead == "the worker's" else -STEP

    tick(process, purge, now=clock.now() + skew)
    assert not is_purged(process.databases, recall_id)

    with process.databases.control() as connection:
        connection.execute("UPDATE recall SET settled_at = settled_at - %s WHERE id = %s", (2 * over, recall_id))
    tick(process, purge, now=clock.now() + skew)
    assert is_purged(process.databases, recall_id)


@pytest.mark.rule(26)
def test_r26_a_retention_that_a_clock_behind_began_lasts_as_long_as_any(process):
    recall_id = recalled(process, settled_by=-STEP)
    tick(process, purge, now=clock.now())
    assert not is_purged(process.databases, recall_id)


@pytest.mark.rule(9)
@pytest.mark.parametrize("mode", ["each", "all_or_nothing"])
@pytest.mark.parametrize("ahead", ["the worker's", "the database's"])
def test_r9_one_clock_that_is_ahead_gives_up_no_shard(process, mode, ahead):
    databases = process.databases
    sender, *others = company.found(databases, people=4, switches={"group_mode": mode}).people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    # by the clock that is right, the deadline is an hour away
    deadline = HOUR if ahead == "the worker's" else HOUR - STEP
    asked = correspondence.ask(databases, sender, message_id, deadline=deadline)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)
    skew = STEP if ahead == "the worker's" else -STEP

    def state() -> State:
        with databases.control() as connection:
            view = views.get(connection, asked.recall.id)
        assert view is not None
        return view.state

    tick(process, reconcile, now=clock.now() + skew)
    dispatch.run(process, Task.SETTLE)
    assert state() is State.RUNNING

    with databases.control() as connection:
        connection.execute(
            "UPDATE recall SET deadline_at = deadline_at - %s WHERE id = %s", (2 * HOUR, asked.recall.id)
        )
    tick(process, reconcile, now=clock.now() + skew)
    with databases.control() as connection:
        left = connection.execute("SELECT batches_left FROM recall WHERE id = %s", (asked.recall.id,)).fetchone()
    # released with the deadline, an all-or-nothing recall waits for no shard that had not prepared
    assert left == (0,)
