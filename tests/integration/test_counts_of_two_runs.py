"""R9: two runs of one piece of work; the second took a copy that failed the first: the counts are the ledger.

And runs that come too late, or never.
"""

from datetime import timedelta
from functools import partial

import pytest

from mailrecall import clock
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Result, State
from mailrecall.domain.trail import Event
from mailrecall.mailstore import withdrawal
from mailrecall.mailstore.withdrawal import Counts
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import progress, views
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.recall.reconciling import reconcile
from tests import company, correspondence, dispatch
from tests.moving import Todo, open_work


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings, databases)


def on_the_shard(databases: Databases, todo: Todo) -> Counts:
    """A run's transaction on the shard; it dies, or hangs, before the control database knows of it."""
    recall_id, batch = todo.args["recall_id"], todo.args["batch"]
    with databases.control() as connection:
        planned = progress.batch_to_withdraw(connection, recall_id, batch)
        assert planned is not None
        recipients = progress.recipients_of_batch(connection, recall_id, batch)
    with databases.shard(todo.args["shard"]) as connection:
        return withdrawal.withdraw(connection, planned.as_batch(recall_id, batch), lambda: recipients, now=clock.now())


@pytest.mark.rule(9)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first before second", "second before first"])
@pytest.mark.parametrize("settles", ["at once", "later"])
def test_r9_the_counts_of_the_better_run_stand_whichever_comes_last(process, databases, order, settles):
    firm = company.found(databases, people=6)
    sender, bad, *others = firm.people
    message_id = correspondence.send(databases, sender, bad, *others)
    dispatch.run(process)
    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)
    recall_id = asked.recall.id
    mine = [todo for todo in open_work(databases) if todo.args.get("recall_id") == recall_id]
    [todo] = [one for one in mine if one.args["shard"] == bad.shard]
    [other] = [one for one in mine if one is not todo]
    if settles == "at once":
        dispatch.USE_CASES[other.task](process, work_id=other.work_id, now=clock.now(), **other.args)
    with correspondence.withdrawal_fails(databases, bad):
        first = on_the_shard(databases, todo)
    runs = first, on_the_shard(databases, todo)

    for number in order:
        with databases.control() as connection:
            record = partial(progress.record_batch, connection, recall_id, todo.args["batch"], attempt=1)
            if record(runs[number], now=clock.now()):
                progress.settle(connection, recall_id, now=clock.now())
    dispatch.run(process)

    with databases.control() as connection:
        view = views.get(connection, recall_id)
        corrected = connection.execute(
            "SELECT count(*) FROM audit_record WHERE recall_id = %s AND event = %s", (recall_id, Event.RECALL_CORRECTED)
        ).fetchone()
    assert view is not None
    assert (view.state, view.result) == (State.SETTLED, Result.SUCCEEDED)
    assert dict(view.tally.counts) == correspondence.ledger(databases, recall_id).counts == {Outcome.RECALLED: 5}
    assert corrected == (1 if (order, settles) == ((0, 1), "at once") else 0,)


@pytest.mark.rule(12, 13)
def test_r12_r13_a_run_of_an_earlier_attempt_counts_nothing_of_the_next(process, databases):
    firm = company.found(databases, people=6, switches={"group_mode": "all_or_nothing"})
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)
    todo = open_work(databases)[0]
    with databases.control() as connection:
        connection.execute("UPDATE recall SET attempt = 2 WHERE id = %s", (asked.recall.id,))
        counts = {"0": {"vetoed": len([one for one in others if one.shard == todo.args["shard"]])}}
        for number, stands in ((1, "pending"), (2, "done")):
            progress.record_batch(
                connection, asked.recall.id, todo.args["batch"], counts, attempt=number, now=clock.now()
            )
            row = connection.execute(
                "SELECT state FROM recall_batch WHERE recall_id = %s AND batch = %s",
                (asked.recall.id, todo.args["batch"]),
            ).fetchone()
            assert row == (stands,)
        connection.rollback()


@pytest.mark.rule(9, 26)
def test_r9_r26_a_run_that_reports_when_the_ledger_is_purged_changes_no_counts(process, databases):
    firm = company.found(databases, people=2)
    sender, bad = firm.people
    message_id = correspondence.send(databases, sender, bad)
    dispatch.run(process)
    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    with correspondence.withdrawal_fails(databases, bad):
        dispatch.run(process)
    with databases.control() as connection:
        connection.execute("UPDATE recall SET purged_at = now() WHERE id = %s", (asked.recall.id,))

        # begun before, it found nobody of whom the ledger told any more
        progress.record_batch(connection, asked.recall.id, 1, {"0": {"gone": 1}}, attempt=1, now=clock.now())

        view = views.get(connection, asked.recall.id)
    assert view is not None
    assert dict(view.tally.counts) == {Outcome.UNREACHABLE: 1}


@pytest.mark.rule(9)
def test_r9_work_that_was_put_aside_is_not_begun_anew_but_what_was_dropped_is(process, databases):
    firm = company.found(databases, people=2)
    message_id = correspondence.send(databases, *firm.people)
    dispatch.run(process)
    asked = correspondence.ask(databases, firm.people[0], message_id)
    assert isinstance(asked, Requested)
    with databases.control() as connection:
        connection.execute("UPDATE outbox SET dead = true WHERE task = %s", (Task.PLAN,))
    later = clock.now() + timedelta(minutes=2)

    reconcile(process, now=later)
    aside = [todo.task for todo in open_work(databases) if todo.args.get("recall_id") == asked.recall.id]
    with databases.control() as connection:
        connection.execute("DELETE FROM outbox WHERE task = %s", (Task.PLAN,))
    reconcile(process, now=later)
    again = [todo.task for todo in open_work(databases) if todo.args.get("recall_id") == asked.recall.id]
    dispatch.run(process, now=later)

    assert (aside, again) == ([Task.PLAN], [Task.PLAN])
    assert correspondence.ledger(databases, asked.recall.id).counts == {Outcome.RECALLED: 1}
