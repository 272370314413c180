"""As test_unknown_outcome, for what surrounds a withdrawal: expansion, plan, undo, purge, report and moves."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.audit import trail
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Requester
from mailrecall.domain.undo import UndoState
from mailrecall.embedded.deadlines import poll
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import undoing
from mailrecall.recalls.requests import Requested
from mailrecall.recalls.views import RecallView
from mailrecall.settings import Settings
from mailrecall.shards import moving
from mailrecall.wiring import Process
from services.recall.purging import purge
from services.reports.summarising import write_reports
from tests import company, correspondence, dispatch
from tests.company import Company
from tests.moving import copies, move, shard_of
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


@pytest.fixture
def firm(databases: Databases) -> Company:
    return company.found(databases, people=PEOPLE)


def published(databases: Databases, task: Task, *, shard: int | None = None) -> tuple[int, dict[str, int]]:
    """A piece of work, as if it were published."""
    with databases.control() as connection:
        row = connection.execute(
            "UPDATE outbox SET published_at = %s WHERE id = (SELECT max(id) FROM outbox WHERE task = %s"
            " AND (%s::int IS NULL OR (args ->> 'shard')::int = %s)) RETURNING id, args",
            (clock.now(), task, shard, shard),
        ).fetchone()
    assert row is not None, "there is no such work"
    return row[0], row[1]


def all_again(near: Process[Settings]) -> None:
    """What the reconciler has published again."""
    with near.databases.control() as connection:
        connection.execute("UPDATE outbox SET published_at = NULL, due_at = %s", (clock.now(),))
    dispatch.run(near)


def recalled(near: Process[Settings], firm: Company) -> tuple[int, RecallView]:
    sender, *others = firm.people
    message_id = correspondence.send(near.databases, sender, *others)
    dispatch.run(near)
    return message_id, correspondence.recalled(near, sender, message_id)


def events(databases: Databases, firm: Company, view: RecallView) -> list[str]:
    with databases.control() as connection:
        page = trail.page(connection, firm.organisation_id, recall=view.public_id, before=trail.NEWEST, limit=50)
    return [one.record.event for one in page]


@pytest.mark.parametrize("cut", Cut)
def test_an_expansion_whose_commit_nobody_answers_makes_each_batch_once(near, remote, firm, cut):
    sender, *others = firm.people
    message_id = correspondence.send(near.databases, sender, *others)
    remote.run(Task.EXPAND, published(near.databases, Task.EXPAND), "control", cut, let_pass=0)

    all_again(near)

    assert copies(near.databases, message_id) == {(one.id, one.shard): 1 for one in others}


@pytest.mark.parametrize("expanded", [True, False])
@pytest.mark.parametrize("cut", Cut)
def test_a_plan_whose_commit_nobody_answers_counts_each_batch_once(near, remote, firm, cut, expanded):
    sender, *others = firm.people
    message_id = correspondence.send(near.databases, sender, *others)
    if expanded:
        dispatch.run(near)
    asked = correspondence.ask(near.databases, sender, message_id)
    assert isinstance(asked, Requested)
    remote.run(Task.PLAN, published(near.databases, Task.PLAN), "control", cut, let_pass=0)

    all_again(near)

    assert correspondence.ledger(near.databases, asked.recall.id).counts == {Outcome.RECALLED: len(others)}
    with near.databases.control() as connection:
        row = connection.execute("SELECT state, batches_left FROM recall WHERE id = %s", (asked.recall.id,)).fetchone()
    assert row == ("settled", 0)
    assert not copies(near.databases, message_id)


@pytest.mark.rule(26)
@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize(("place", "let_pass"), [("shard", 0), ("control", 1)])
def test_r26_a_restoration_whose_commit_nobody_answers_is_counted_once(near, remote, firm, cut, place, let_pass):  # noqa: PLR0917
    message_id, view = recalled(near, firm)
    requester = Requester(firm.postmaster.id, firm.organisation_id, administrator=True)
    with near.databases.control() as connection:
        assert isinstance(
            undoing.request(connection, requester, view.public_id, None, now=clock.now()), undoing.Undoing
        )
    work = published(near.databases, Task.RESTORE, shard=SHARD)
    remote.run(Task.RESTORE, work, place, cut, let_pass=let_pass)

    all_again(near)

    with near.databases.control() as connection:
        undo = undoing.find(connection, view.id)
    assert undo is not None
    assert (undo.state, undo.restored, undo.gone) == (UndoState.RESTORED, PEOPLE - 1, 0)
    assert events(near.databases, firm, view).count("undo_finished") == 1
    assert copies(near.databases, message_id) == {(one.id, one.shard): 1 for one in firm.people[1:]}


@pytest.mark.rule(26)
@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("place", ["shard", "control"])
def test_r26_a_purge_whose_commits_nobody_answers_goes_on_where_it_was(near, remote, firm, cut, place):
    message_id, view = recalled(near, firm)
    with near.databases.control() as connection:
        connection.execute("DELETE FROM outbox WHERE task = 'reports.summarise'")
    over = clock.now() + timedelta(days=8)

    # a day later each time: a shard that did not answer is visited again by then
    assert remote.cut_at_each(place, cut, lambda number: purge(remote.process, now=over + timedelta(days=number)))
    purge(near, now=over + timedelta(days=100))

    assert correspondence.ledger(near.databases, view.id).rows == []
    assert events(near.databases, firm, view).count("purged") == 1
    for shard in near.databases.shards:
        with near.databases.shard(shard) as connection:
            assert connection.execute("SELECT FROM withdrawal WHERE recall_id = %s", (view.id,)).fetchone() is None
            listed = connection.execute("SELECT FROM message WHERE id = %s", (message_id,)).fetchone()
            assert listed is None


@pytest.mark.rule(18)
@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("place", ["shard", "control"])
def test_r18_a_report_whose_commits_nobody_answers_is_sent_once(near, remote, firm, cut, place):
    _, view = recalled(near, firm)
    work_id, args = published(near.databases, Task.SUMMARISE)
    before = messages(near.databases)

    assert remote.cut_at_each(
        place, cut, lambda _: write_reports(remote.process, work_id=work_id, now=clock.now(), **args)
    )

    assert messages(near.databases) == before + 1
    with near.databases.control() as connection:
        row = connection.execute("SELECT report_message_id FROM recall WHERE id = %s", (view.id,)).fetchone()
        left = connection.execute("SELECT FROM outbox WHERE id = %s", (work_id,)).fetchone()
    assert row is not None
    assert row[0] is not None
    assert left is None


def messages(databases: Databases) -> int:
    with databases.control() as connection:
        row = connection.execute("SELECT count(*) FROM message").fetchone()
    assert row is not None
    count: int = row[0]
    return count


def await_no_mover(databases: Databases) -> None:
    """Wait until the server has noticed that a mover whose wire was cut is gone, and that it moves no more."""

    def nobody() -> bool:
        with databases.control() as connection:
            row = connection.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 1943")
            return not row.rowcount

    assert poll(nobody, timeout=60), "somebody is still moving mailboxes"


@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("place", ["shard", "control"])
@pytest.mark.parametrize(("source", "target"), [(SHARD, 1), (1, SHARD)], ids=["from the shard", "to the shard"])
def test_mailboxes_whose_move_is_cut_at_any_commit_are_on_one_shard(near, remote, firm, cut, place, source, target):  # noqa: PLR0917
    databases = near.databases
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(near)
    movers = others[:3]

    def there_and_back(_: int) -> None:
        await_no_mover(databases)
        move(near.settings, databases, movers, source)
        try:
            move(remote.settings, remote.process.databases, movers, target)
        finally:
            await_no_mover(databases)
            moving.end_interrupted(near.settings, databases, now=clock.now())
            assert copies(databases, message_id) == {(one.id, shard_of(databases, one)): 1 for one in others}

    assert remote.cut_at_each(place, cut, there_and_back)

    assert {shard_of(databases, one) for one in movers} == {target}
    assert correspondence.recalled(near, sender, message_id).tally.as_slugs() == {"recalled": len(others)}
    assert not copies(databases, message_id)
