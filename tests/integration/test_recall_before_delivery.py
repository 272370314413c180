"""R16: a recall that comes before the delivery, or in the middle of it, in every order of events."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from mailrecall import clock
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Refusal, Refused, Result, State
from mailrecall.messages import delivery, expansion
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import outcomes, views
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.recall.reconciling import reconcile
from tests import company, correspondence, dispatch
from tests.locks import until_somebody_waits_for_a_lock


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 4}), databases)


@pytest.mark.rule(16)
def test_r16_a_message_recalled_before_its_expansion_never_appears(process, databases):
    firm = company.found(databases, people=6)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN, Task.WITHDRAW, Task.SETTLE)

    dispatch.run(process)

    assert correspondence.ledger(databases, asked.recall.id).counts == {Outcome.RECALLED: 5}
    assert not any(correspondence.has_copy(databases, person, message_id) for person in others)


@pytest.mark.rule(16)
def test_r16_a_deposit_after_the_request_leaves_no_copy_to_be_read_in_between(process, databases):
    firm = company.found(databases, people=6)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process, Task.EXPAND)
    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)

    dispatch.run(process, Task.DEPOSIT)
    appeared = [person for person in others if correspondence.has_copy(databases, person, message_id)]
    dispatch.run(process)

    assert appeared == []
    assert correspondence.ledger(databases, asked.recall.id).counts == {Outcome.RECALLED: 5}


@pytest.mark.rule(16)
def test_r16_a_request_waits_for_a_deposit_under_way(process, databases):
    firm = company.found(databases, people=2)
    sender, recipient = firm.people
    message_id = correspondence.send(databases, sender, recipient)
    dispatch.run(process, Task.EXPAND)
    with ThreadPoolExecutor(1) as threads:
        with databases.control() as connection:
            delivery.lock_batch_to_deposit(connection, message_id, 1)
            asking = threads.submit(correspondence.ask, databases, sender, message_id)
            until_somebody_waits_for_a_lock(process.settings)
        asked = asking.result(20)
    assert isinstance(asked, Requested)
    dispatch.run(process)


@pytest.mark.rule(16)
def test_r16_a_request_that_waited_for_the_expansion_is_judged_by_what_that_wrote(process, databases):
    firm = company.found(databases, people=2)
    sender, recipient = firm.people
    message_id = correspondence.send(databases, sender, recipient)
    with ThreadPoolExecutor(1) as threads:
        with databases.control() as connection:
            assert expansion.expand(connection, message_id, batch_size=4, now=clock.now())
            asking = threads.submit(correspondence.ask, databases, sender, message_id)
            until_somebody_waits_for_a_lock(process.settings)
        asked = asking.result(20)
    assert isinstance(asked, Requested), asked
    dispatch.run(process)


@pytest.mark.rule(9)
@pytest.mark.parametrize("recalled_first", [False, True])
def test_r9_who_closed_before_the_delivery_is_accounted_for_and_bounces(process, databases, recalled_first):
    firm = company.found(databases, people=2)
    sender, recipient = firm.people
    leaver = company.hire(databases, f"leaver@{firm.domain}")
    message_id = correspondence.send(databases, sender, recipient, leaver)
    with databases.control() as connection:
        connection.execute("UPDATE account SET closed_at = now() WHERE id = %s", (leaver.id,))
    if not recalled_first:
        dispatch.run(process)

    view = correspondence.recalled(process, sender, message_id)

    assert not correspondence.has_copy(databases, leaver, message_id)
    ledger = correspondence.ledger(databases, view.id)
    assert ledger.of(leaver) is (Outcome.RECALLED if recalled_first else Outcome.GONE)
    assert view.tally.total == 2
    with databases.control() as connection:
        bounces = connection.execute(
            "SELECT count(*) FROM message m JOIN envelope_recipient e ON e.message_id = m.id"
            " WHERE m.channel = 'system' AND e.account_id = %s",
            (sender.id,),
        ).fetchone()
    assert bounces == (1,)


@pytest.mark.rule(16, 1)
def test_r16_a_deposit_after_the_recall_serves_only_those_out_of_scope(process, databases):
    firm = company.found(databases, people=3)
    stranger = company.found(databases, people=1).people[0]
    message_id = correspondence.send(databases, firm.people[0], *firm.people[1:], stranger)
    asked = correspondence.ask(databases, firm.people[0], message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN, Task.WITHDRAW, Task.SETTLE)

    dispatch.run(process)

    assert correspondence.has_copy(databases, stranger, message_id)
    assert not any(correspondence.has_copy(databases, person, message_id) for person in firm.people[1:])
    counts = correspondence.ledger(databases, asked.recall.id).counts
    assert counts == {Outcome.RECALLED: 2, Outcome.EXTERNAL: 1}


@pytest.mark.rule(16, 9)
def test_r16_what_a_shard_that_is_down_had_not_got_yet_counts_as_recalled_and_never_appears(process, databases):
    firm = company.found(databases, people=5)
    stranger = company.found(databases, people=1).people[0]
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others, stranger)
    dispatch.run(process, Task.EXPAND)
    start = clock.now()
    asked = correspondence.ask(databases, sender, message_id, now=start, deadline=timedelta(minutes=1))
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)

    reconcile(process, now=start + timedelta(minutes=1, seconds=process.settings.statement_timeout + 1))
    dispatch.run(process, Task.SETTLE, now=clock.now() + timedelta(minutes=5))
    with databases.control() as connection:
        settled = views.get(connection, asked.recall.id)
        assumed = outcomes.of_addressees(databases, outcomes.locate(connection, asked.recall.id))
    dispatch.run(process, Task.DEPOSIT)
    appeared = [person for person in others if correspondence.has_copy(databases, person, message_id)]
    dispatch.run(process, now=clock.now() + timedelta(minutes=5))
    with databases.control() as connection:
        confirmed = views.get(connection, asked.recall.id)

    assert settled is not None
    assert (settled.state, settled.result) == (State.SETTLED, Result.SUCCEEDED)
    assert settled.tally.as_slugs() == {"recalled": 4, "external": 1}
    assert {one.address: one.outcome for one in assumed} == {
        **{person.address: Outcome.RECALLED for person in others},
        stranger.address: Outcome.EXTERNAL,
    }
    assert appeared == []
    assert correspondence.has_copy(databases, stranger, message_id)
    assert confirmed is not None
    assert confirmed.tally == settled.tally
    counts = correspondence.ledger(databases, asked.recall.id).counts
    assert counts == {Outcome.RECALLED: 4, Outcome.EXTERNAL: 1}


@pytest.mark.rule(11)
def test_r11_a_request_does_not_wait_for_ever_for_a_deposit_that_hangs(process, databases):
    firm = company.found(databases, people=2)
    sender, recipient = firm.people
    message_id = correspondence.send(databases, sender, recipient)
    dispatch.run(process, Task.EXPAND)
    with databases.control() as connection:
        delivery.lock_batch_to_deposit(connection, message_id, 1)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            correspondence.ask(databases, sender, message_id)

    assert isinstance(correspondence.ask(databases, sender, message_id), Requested)
    dispatch.run(process)


@pytest.mark.rule(12)
def test_r12_a_repeat_and_the_plan_do_not_wait_for_each_other_in_a_circle(process, settings, databases):
    firm = company.found(databases, people=2)
    message_id = correspondence.send(databases, *firm.people)
    asked = correspondence.ask(databases, firm.people[0], message_id)
    assert isinstance(asked, Requested)
    with ThreadPoolExecutor(1) as threads, databases.control() as repeating:
        # the first lock of a repeat; its second one is the recall
        repeating.execute("SELECT FROM message WHERE id = %s FOR UPDATE", (message_id,))
        planning = threads.submit(dispatch.run, process, Task.PLAN)
        until_somebody_waits_for_a_lock(settings)
        again = correspondence.ask_on(repeating, firm.people[0], message_id)
        repeating.commit()
        planning.result(timeout=60)
    assert isinstance(again, Requested)
    assert not again.created
    dispatch.run(process)
    with databases.control() as connection:
        view = views.get(connection, asked.recall.id)
    assert view is not None
    assert view.state is State.SETTLED


@pytest.mark.rule(10)
def test_r10_requests_at_the_same_time_count_each_other(process, settings, databases):
    firm = company.found(databases, people=2, switches={"recalls_per_hour": 1})
    one, other = (correspondence.send(databases, *firm.people) for _ in range(2))
    with ThreadPoolExecutor(1) as threads, databases.control() as asking:
        assert isinstance(correspondence.ask_on(asking, firm.people[0], one), Requested)
        second = threads.submit(correspondence.ask, databases, firm.people[0], other)
        until_somebody_waits_for_a_lock(settings)
        asking.commit()
        refused = second.result(timeout=60)
    dispatch.run(process)

    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.RATE_LIMITED


@pytest.mark.rule(11)
def test_r11_deposits_that_begin_later_let_a_request_go_first(process, settings, databases):
    firm = company.found(databases, people=9)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process, Task.EXPAND)
    with ThreadPoolExecutor(1) as threads:
        with databases.control() as first:
            delivery.lock_batch_to_deposit(first, message_id, 1)
            asking = threads.submit(correspondence.ask, databases, sender, message_id)
            until_somebody_waits_for_a_lock(settings)
            # else the deposits of a large delivery, each beginning before another ends, would keep it out all the time
            with databases.control() as second:
                second.execute("SET LOCAL lock_timeout = '100ms'")
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    delivery.lock_batch_to_deposit(second, message_id, 2)
        asked = asking.result(timeout=60)

    assert isinstance(asked, Requested)
    dispatch.run(process)
    assert correspondence.ledger(databases, asked.recall.id).counts == {Outcome.RECALLED: 8}
