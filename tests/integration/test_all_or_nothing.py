"""R13, all or nothing: prepared on every shard, decided once, carried out or let go, on real databases."""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Fact, Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Result, State, Verdict
from mailrecall.mailstore import reading
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import purging
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.recall.reconciling import reconcile
from tests import company, correspondence, dispatch
from tests.gateway import gateway
from tests.undertaking import Undertaking


@pytest.fixture(scope="module")
def databases(settings: Settings) -> Iterator[Databases]:
    # readers wait so little that no test does
    databases = Databases(settings.model_copy(update={"decision_wait": 0.2}), "tests")
    yield databases
    databases.close()


@pytest.fixture
def process(databases: Databases) -> Process[Settings]:
    return Process(databases.settings.model_copy(update={"batch_size": 2}), databases)


@pytest.fixture
def undertaking(process: Process[Settings]) -> Undertaking:
    return Undertaking(process)


@pytest.mark.rule(13)
def test_r13_when_all_qualify_all_go(undertaking):
    undertaking.ask()
    view = undertaking.finish()

    assert undertaking.verdict() is Verdict.COMMIT
    assert (view.state, view.result, view.tally.as_slugs()) == (State.SETTLED, Result.SUCCEEDED, {"recalled": 5})
    assert undertaking.with_copy() == []
    assert undertaking.outcomes.counts == {Outcome.RECALLED: 5}
    assert undertaking.left_over() == 0


@pytest.mark.rule(13, 9)
@pytest.mark.parametrize("fact", [Fact.READ, Fact.ATTACHMENT_DOWNLOADED, Fact.FORWARDED, Fact.DELETED])
def test_r13_when_one_does_not_qualify_all_stay_and_the_others_are_vetoed(undertaking, fact):
    correspondence.happen(undertaking.databases, undertaking.others[3], undertaking.message_id, fact)
    undertaking.ask()
    view = undertaking.finish()

    ledger = undertaking.outcomes
    assert undertaking.verdict() is Verdict.RELEASE
    assert ledger.counts[Outcome.VETOED] == 4
    assert ledger.of(undertaking.others[3]) not in (Outcome.VETOED, Outcome.RECALLED)
    assert dict(view.tally.counts) == dict(ledger.counts)
    assert (view.state, view.result) == (State.SETTLED, Result.FAILED)
    assert len(undertaking.with_copy()) == 5 - (fact is Fact.DELETED)
    assert undertaking.marked() == set()
    assert undertaking.left_over() == 0


@pytest.mark.rule(13, 1)
def test_r13_who_is_out_of_scope_neither_goes_nor_keeps_the_others(process):
    undertaking = Undertaking(process)
    stranger = company.found(undertaking.databases, people=1).people[0]
    undertaking.message_id = correspondence.send(
        undertaking.databases, undertaking.sender, *undertaking.others, stranger
    )
    dispatch.run(process)
    correspondence.happen(undertaking.databases, stranger, undertaking.message_id, Fact.READ)
    undertaking.ask()
    view = undertaking.finish()

    assert view.tally.as_slugs() == {"recalled": 5, "external": 1}
    assert correspondence.has_copy(undertaking.databases, stranger, undertaking.message_id)


@pytest.mark.rule(13, 16)
def test_r16_what_is_not_delivered_waits_and_never_appears_when_all_go(process):
    undertaking = Undertaking(process, delivered=False).prepare(all_but=1)
    dispatch.run(process, Task.EXPAND, Task.DEPOSIT)
    assert undertaking.with_copy() == []

    view = undertaking.finish()
    dispatch.run(process, now=clock.now() + timedelta(minutes=1))

    assert view.tally.as_slugs() == {"recalled": 5}
    assert undertaking.with_copy() == []


@pytest.mark.rule(13, 16)
def test_r16_what_is_not_delivered_arrives_when_all_stay(process):
    undertaking = Undertaking(process, delivered=False).prepare(all_but=1)
    dispatch.run(process, Task.EXPAND, Task.DEPOSIT)
    assert undertaking.with_copy() == []

    undertaking.decide(Verdict.RELEASE)
    view = undertaking.finish()
    dispatch.run(process, now=clock.now() + timedelta(minutes=1))

    assert view.tally.as_slugs() == {"vetoed": 5}
    assert undertaking.with_copy() == undertaking.others
    assert undertaking.left_over() == 0


@pytest.mark.rule(13, 16)
def test_r16_a_deposit_that_comes_before_the_release_is_carried_out_takes_its_place_back(process):
    undertaking = Undertaking(process, delivered=False).prepare(all_but=1)
    undertaking.decide(Verdict.RELEASE)
    dispatch.run(process, Task.DEPOSIT, now=clock.now() + timedelta(minutes=1))
    assert undertaking.with_copy() == undertaking.others

    assert undertaking.finish().tally.as_slugs() == {"vetoed": 5}
    assert undertaking.with_copy() == undertaking.others


def kept_by_a_silent_shard(process):
    """A recall that was released at its deadline because a shard did not answer."""
    undertaking = Undertaking(process)
    start = clock.now()
    undertaking.ask(now=start, deadline=timedelta(minutes=1))
    dispatch.run(process, Task.PLAN)
    undertaking.silence(1)
    dispatch.run(process)
    assert undertaking.verdict() is None
    assert undertaking.marked() == {person.id for person in undertaking.on(0)}

    reconcile(process, now=start + timedelta(minutes=1, seconds=process.settings.statement_timeout + 1))
    with undertaking.databases.control() as connection:
        connection.execute("DELETE FROM outbox WHERE task = 'recall.withdraw' AND args ->> 'shard' = '1'")
    dispatch.run(process, now=clock.now() + timedelta(minutes=3))
    return undertaking


@pytest.mark.rule(13, 9, 12)
def test_r13_a_silent_shard_releases_everything_at_the_deadline_and_can_be_tried_again(process):
    undertaking = kept_by_a_silent_shard(process)
    view = undertaking.view
    silent, heard = len(undertaking.on(1)), len(undertaking.on(0))
    assert view.tally.as_slugs() == {"vetoed": heard, "unreachable": silent}
    assert (view.state, view.result) == (State.SETTLED, Result.FAILED)
    assert undertaking.with_copy() == undertaking.others
    assert undertaking.marked() == set()

    # R12: all of it is tried again, not only what was silent
    undertaking.ask()
    assert undertaking.view.state is State.RUNNING
    again = undertaking.finish()
    assert (again.result, again.tally.as_slugs()) == (Result.SUCCEEDED, {"recalled": 5})
    assert (undertaking.verdict(1), undertaking.verdict(2)) == (Verdict.RELEASE, Verdict.COMMIT)
    assert undertaking.outcomes.counts == {Outcome.RECALLED: 5}
    assert undertaking.with_copy() == []


@pytest.mark.rule(13, 12)
def test_r12_a_released_recall_that_every_shard_answered_is_not_tried_again(undertaking):
    correspondence.happen(undertaking.databases, undertaking.others[0], undertaking.message_id, Fact.READ)
    undertaking.ask()
    undertaking.finish()
    undertaking.ask()
    assert undertaking.view.state is State.SETTLED
    assert undertaking.verdict(2) is None


@pytest.mark.rule(12, 13, 26)
def test_r12_a_released_recall_that_was_purged_is_not_tried_again(process):
    undertaking = kept_by_a_silent_shard(process)
    with undertaking.databases.control() as connection:
        connection.execute("DELETE FROM outbox WHERE task = 'reports.summarise'")
        assert purging.begin(connection, undertaking.id, now=clock.now() + timedelta(days=8))
    undertaking.ask()

    assert undertaking.view.state is State.SETTLED
    assert undertaking.finish().tally == undertaking.view.tally
    assert undertaking.verdict(2) is None
    assert undertaking.with_copy() == undertaking.others


@pytest.mark.rule(13)
def test_r13_a_decided_recall_whose_shard_is_away_counts_as_decided(undertaking):
    undertaking.prepare()
    assert undertaking.verdict() is Verdict.COMMIT
    late = clock.now() + timedelta(hours=2)
    undertaking.silence(1)
    reconcile(undertaking.process, now=late)
    dispatch.run(undertaking.process, Task.SETTLE, now=late)

    assert undertaking.view.tally.as_slugs() == {"recalled": 5}
    assert not any(undertaking.shown(person) for person in undertaking.others)
    view = undertaking.finish()
    assert (view.result, view.tally.as_slugs()) == (Result.SUCCEEDED, {"recalled": 5})
    assert undertaking.with_copy() == []


@pytest.mark.rule(13, 17)
def test_r13_a_notice_takes_the_place_of_what_went(process):
    undertaking = Undertaking(process, tombstone=True)
    undertaking.ask()
    undertaking.finish()
    for person in undertaking.others:
        with undertaking.databases.shard(person.shard) as connection:
            (entry,) = reading.list_folder(connection, person.id, Folder.INBOX, limit=9)
        assert entry.subject.startswith("Message recalled")


@pytest.mark.rule(13)
def test_r13_every_task_may_run_twice_and_in_any_order(undertaking):
    undertaking.ask()
    dispatch.run(undertaking.process, Task.PLAN)
    with undertaking.databases.control() as connection:
        work = connection.execute("SELECT id, args FROM outbox WHERE task = 'recall.prepare'").fetchall()
    for work_id, args in [*work, *work]:
        dispatch.USE_CASES[Task.PREPARE](undertaking.process, work_id=work_id, now=clock.now(), **args)
    with undertaking.databases.control() as connection:
        more = connection.execute("SELECT id, args FROM outbox WHERE task = 'recall.withdraw'").fetchall()
    for work_id, args in [*more, *more]:
        dispatch.USE_CASES[Task.WITHDRAW](undertaking.process, work_id=work_id, now=clock.now(), **args)
    # one that was held up for a long time
    for work_id, args in work:
        dispatch.USE_CASES[Task.PREPARE](undertaking.process, work_id=work_id, now=clock.now(), **args)
    view = undertaking.finish()

    assert (view.result, view.tally.as_slugs()) == (Result.SUCCEEDED, {"recalled": 5})
    assert undertaking.left_over() == 0


@pytest.mark.rule(13)
def test_r13_a_preparation_that_comes_after_the_release_leaves_no_mark(undertaking):
    undertaking.ask()
    dispatch.run(undertaking.process, Task.PLAN)
    with undertaking.databases.control() as connection:
        (work_id, args), *_ = connection.execute("SELECT id, args FROM outbox WHERE task = 'recall.prepare'").fetchall()

    class Overtaken(Databases):
        """Between the preparation's look at the control database and its shard, the recall is decided and released."""

        def shard(self, number):
            if not getattr(self, "done", False):
                self.done = True
                undertaking.decide(Verdict.RELEASE)
                dispatch.run(undertaking.process, Task.WITHDRAW)
            return super().shard(number)

    overtaken = Overtaken(undertaking.databases.settings, "overtaken")
    slow = Process(undertaking.process.settings, overtaken)
    dispatch.USE_CASES[Task.PREPARE](slow, work_id=work_id, now=clock.now(), **args)
    overtaken.close()
    view = undertaking.finish()

    assert undertaking.marked() == set()
    assert undertaking.left_over() == 0
    assert view.tally.as_slugs() == {"vetoed": 5}


@pytest.mark.rule(13, 9)
@pytest.mark.parametrize("dies", [False, True])
def test_r13_a_preparation_that_comes_after_its_batch_was_given_up_and_let_go_leaves_no_mark(process, dies):
    undertaking = Undertaking(process)
    start = clock.now()
    undertaking.ask(now=start, deadline=timedelta(minutes=1))
    dispatch.run(process, Task.PLAN)
    with undertaking.databases.control() as connection:
        (work_id, args), *_ = connection.execute("SELECT id, args FROM outbox WHERE task = 'recall.prepare'").fetchall()

    class DiedAfterTheShardError(Exception):
        pass

    class Overtaken(Databases):
        """Between the preparation's look at the control database and its shard, the recall is given up and let go."""

        done = False

        def shard(self, number):
            if not self.done:
                self.done = True
                reconcile(process, now=start + timedelta(minutes=1, seconds=process.settings.statement_timeout + 1))
                dispatch.run(process, Task.WITHDRAW, now=clock.now() + timedelta(minutes=3))
            return super().shard(number)

        def control(self):
            if self.done and dies:
                raise DiedAfterTheShardError
            return super().control()

    overtaken = Overtaken(undertaking.databases.settings, "overtaken")
    slow = Process(process.settings, overtaken)
    with pytest.raises(DiedAfterTheShardError) if dies else nullcontext():
        dispatch.USE_CASES[Task.PREPARE](slow, work_id=work_id, now=clock.now(), **args)
    overtaken.close()
    assert undertaking.marked(), "the preparation must have come last"
    if dies:
        dispatch.USE_CASES[Task.PREPARE](process, work_id=work_id, now=clock.now(), **args)
    view = undertaking.finish()

    assert undertaking.marked() == set()
    assert undertaking.left_over() == 0
    assert view.tally.as_slugs() == {"unreachable": 5}
    assert undertaking.with_copy() == undertaking.others


@pytest.mark.rule(13, 30)
def test_r13_what_a_moderator_never_released_is_recalled(process):
    undertaking = Undertaking(process, delivered=False)
    with undertaking.databases.control() as connection:
        connection.execute("UPDATE message SET hold = 'cancelled' WHERE id = %s", (undertaking.message_id,))
    undertaking.ask()
    view = undertaking.finish()
    assert view.tally.as_slugs() == {"recalled": 5}
    assert undertaking.with_copy() == []


@pytest.mark.rule(12, 13, 21)
def test_r12_r13_a_request_of_many_begins_no_other_attempt_while_a_deposit_goes_by_the_one_before(process):
    undertaking = kept_by_a_silent_shard(process)
    web = gateway(process.settings, process.databases)
    asking = {"message_ids": [undertaking.message_id], "reason": "once more"}

    with undertaking.databases.control() as deposit:
        deposit.execute("SELECT FROM message WHERE id = %s FOR KEY SHARE", (undertaking.message_id,))
        answer = web.as_(undertaking.firm.postmaster).post("/admin/recall-batches", json=asking).get_json()
    assert answer["messages"][0]["recall"]["state"] == "settled"

    web.as_(undertaking.firm.postmaster).post("/admin/recall-batches", json=asking)
    assert undertaking.view.state is State.RUNNING
    assert undertaking.finish().tally.as_slugs() == {"recalled": 5}
