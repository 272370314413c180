"""A partition at a COMMIT: its sender cannot know what became of it, and the books are right either way."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import State
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import views
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch
from tests.remote import SHARD, Remote, remote_worker
from tests.severing import Cut

PEOPLE = 8


@pytest.fixture
def remote(settings: Settings) -> Iterator[Remote]:
    with remote_worker(settings) as remote:
        yield remote


@pytest.fixture
def near(settings: Settings, databases: Databases) -> Process[Settings]:
    """A worker beside the databases."""
    return Process(settings.model_copy(update={"batch_size": 3}), databases)


def due_on_the_shard(databases: Databases, task: Task) -> tuple[int, dict[str, int]]:
    """A piece of work of the wire's shard, as if it were published."""
    with databases.control() as connection:
        row = connection.execute(
            "UPDATE outbox SET published_at = %s WHERE id = (SELECT min(id) FROM outbox WHERE task = %s"
            " AND (args ->> 'shard')::int = %s) RETURNING id, args",
            (clock.now(), task, SHARD),
        ).fetchone()
    assert row is not None, "there is no such work"
    return row[0], row[1]


def all_again(near: Process[Settings]) -> None:
    """What the reconciler has published again."""
    with near.databases.control() as connection:
        connection.execute("UPDATE outbox SET published_at = NULL, due_at = %s", (clock.now(),))
    dispatch.run(near)
    dispatch.run(near, now=clock.now() + timedelta(minutes=1))


def view_of(databases: Databases, recall_id: int) -> views.RecallView:
    with databases.control() as connection:
        view = views.get(connection, recall_id)
    assert view is not None
    return view


@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("place", ["shard", "control"])
def test_a_deposit_whose_commit_nobody_answers_delivers_each_copy_once(near, remote, cut, place):
    databases = near.databases
    firm = company.found(databases, people=PEOPLE)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(near, Task.EXPAND)
    work = due_on_the_shard(databases, Task.DEPOSIT)
    # on the shard, the look whether it has the content is the first transaction; on the other side, the lock is
    remote.run(Task.DEPOSIT, work, place, cut, let_pass=1)

    all_again(near)

    assert all(correspondence.has_copy(databases, person, message_id) for person in others)
    assert correspondence.recalled(near, sender, message_id).tally.as_slugs() == {"recalled": PEOPLE - 1}


@pytest.mark.rule(9)
@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize(("place", "let_pass"), [("shard", 0), ("control", 1)])
def test_r9_a_withdrawal_whose_commit_nobody_answers_is_counted_once(near, remote, cut, place, let_pass):
    databases = near.databases
    firm = company.found(databases, people=PEOPLE)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(near)
    correspondence.happen(databases, others[0], message_id, Fact.READ)
    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(near, Task.PLAN)
    work = due_on_the_shard(databases, Task.WITHDRAW)
    remote.run(Task.WITHDRAW, work, place, cut, let_pass=let_pass)

    all_again(near)

    view = view_of(databases, asked.recall.id)
    expected = Counter({Outcome.RECALLED: PEOPLE - 2, Outcome.ALREADY_READ: 1})
    assert view.state is State.SETTLED
    assert Counter(dict(view.tally.counts)) == expected
    assert correspondence.ledger(databases, asked.recall.id).counts == expected


@pytest.mark.rule(13)
@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("read", [0, 1], ids=["all go", "all stay"])
@pytest.mark.parametrize("task", [Task.PREPARE, Task.WITHDRAW])
@pytest.mark.parametrize(("place", "let_pass"), [("shard", 0), ("control", 1)])
def test_r13_a_partition_at_any_commit_leaves_all_or_nothing(near, remote, cut, read, task, place, let_pass):  # noqa: PLR0917
    databases = near.databases
    firm = company.found(databases, people=PEOPLE, switches={"group_mode": "all_or_nothing"})
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(near)
    for person in [person for person in others if person.shard != SHARD][:read]:
        correspondence.happen(databases, person, message_id, Fact.READ)
    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(near, *[Task.PLAN, Task.PREPARE][: 1 + (task is Task.WITHDRAW)])
    work = due_on_the_shard(databases, task)
    remote.run(task, work, place, cut, let_pass=let_pass)

    all_again(near)

    view = view_of(databases, asked.recall.id)
    expected = {Outcome.ALREADY_READ: 1, Outcome.VETOED: PEOPLE - 2} if read else {Outcome.RECALLED: PEOPLE - 1}
    assert view.state is State.SETTLED
    assert dict(view.tally.counts) == expected
    assert correspondence.ledger(databases, asked.recall.id).counts == expected
    assert [correspondence.has_copy(databases, person, message_id) for person in others] == [bool(read)] * len(others)
