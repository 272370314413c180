"""A recall from request to settlement, by the use cases on real databases: every outcome, every order of events."""

from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Channel, Refusal, Refused, Result, State
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import views
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.recall.reconciling import reconcile
from tests import company, correspondence, dispatch


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 4}), databases)


FACTS = {
    Fact.READ: Outcome.ALREADY_READ,
    Fact.ATTACHMENT_DOWNLOADED: Outcome.ATTACHMENT_DOWNLOADED,
    Fact.FORWARDED: Outcome.FORWARDED,
    Fact.FETCHED_BY_POP3: Outcome.FETCHED_BY_POP3,
    Fact.DELETED: Outcome.GONE,
}


@pytest.mark.rule(2, 4, 5, 7, 9)
def test_r9_every_recipient_ends_with_exactly_one_outcome(process, databases):
    firm = company.found(databases, people=14)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others, "someone@elsewhere.example")
    dispatch.run(process)
    for person, fact in zip(others, FACTS, strict=False):
        correspondence.happen(databases, person, message_id, fact)

    view = correspondence.recalled(process, sender, message_id)

    ledger = correspondence.ledger(databases, view.id)
    assert sorted(mailbox for mailbox, _ in ledger.rows) == sorted(person.id for person in others)
    for person, outcome in zip(others, FACTS.values(), strict=False):
        assert ledger.of(person) is outcome
    for person in others[len(FACTS) :]:
        assert ledger.of(person) is Outcome.RECALLED
        assert not correspondence.has_copy(databases, person, message_id)
    assert view.state is State.SETTLED
    assert view.result is Result.PARTIAL
    assert dict(view.tally.counts) == {**ledger.counts, Outcome.EXTERNAL: 1}
    assert view.recipients == view.tally.total == 14


@pytest.mark.rule(1)
@pytest.mark.parametrize(
    ("scope", "reached"),
    [("domain", 1), ("organisation", 2), ("platform", 3)],
    ids=["domain", "organisation", "platform"],
)
def test_r1_scope_decides_who_is_external(process, databases, scope, reached):
    firm = company.found(databases, people=2, domains=2, switches={"scope": scope})
    sister = company.hire(databases, f"sister@{firm.domains[1]}")
    stranger = company.found(databases, people=1).people[0]
    message_id = correspondence.send(databases, firm.people[0], firm.people[1], sister, stranger)
    dispatch.run(process)

    view = correspondence.recalled(process, firm.people[0], message_id)

    kept = [correspondence.has_copy(databases, person, message_id) for person in (firm.people[1], sister, stranger)]
    assert kept == [False] * reached + [True] * (3 - reached)
    assert view.tally[Outcome.RECALLED] == reached
    assert view.tally[Outcome.EXTERNAL] == 3 - reached


@pytest.mark.rule(13)
def test_r13_succeeded_only_if_every_member_qualified(process, databases):
    firm = company.found(databases, people=7)
    team = company.group(databases, f"team@{firm.domain}", firm.people[1:])
    message_id = correspondence.send(databases, firm.people[0], team)
    dispatch.run(process)

    view = correspondence.recalled(process, firm.people[0], message_id)

    assert view.result is Result.SUCCEEDED
    assert {via: tally.as_slugs() for via, tally in view.by_via.items()} == {1: {"recalled": 6}}


@pytest.mark.rule(15)
def test_r15_the_sent_copy_stays_and_the_authors_own_copy_goes(process, databases):
    firm = company.found(databases, people=1)
    (person,) = firm.people
    message_id = correspondence.send(databases, person, person)
    dispatch.run(process)

    view = correspondence.recalled(process, person, message_id)

    assert view.tally.as_slugs() == {"recalled": 1}
    assert not correspondence.has_copy(databases, person, message_id)
    assert correspondence.has_copy(databases, person, message_id | 1)
    with databases.control() as connection:
        mark = views.of_messages(connection, [message_id | 1])[message_id]
    assert (mark.state, mark.result) == (State.SETTLED, Result.SUCCEEDED)


@pytest.mark.rule(12)
def test_r12_asking_again_returns_the_same_recall(process, databases):
    firm = company.found(databases, people=2)
    message_id = correspondence.send(databases, firm.people[0], firm.people[1])
    dispatch.run(process)
    first = correspondence.ask(databases, firm.people[0], message_id)
    again = correspondence.ask(databases, firm.people[0], message_id | 1)

    assert isinstance(first, Requested)
    assert isinstance(again, Requested)
    assert (first.created, again.created) == (True, False)
    assert first.recall.id == again.recall.id
    with databases.control() as connection:
        assert connection.execute("SELECT count(*) FROM outbox WHERE task = 'recall.plan'").fetchone() == (1,)
    dispatch.run(process)


@pytest.mark.rule(17)
@pytest.mark.parametrize("tombstone", [False, True])
def test_r17_a_notice_is_left_only_where_the_policy_wants_one(process, databases, tombstone):
    firm = company.found(databases, people=3, switches={"tombstone": tombstone})
    sender, reader, other = firm.people
    message_id = correspondence.send(databases, sender, reader, other)
    dispatch.run(process)
    correspondence.happen(databases, reader, message_id, Fact.READ)

    correspondence.recalled(process, sender, message_id)

    def inbox(person):
        with databases.shard(person.shard) as connection:
            rows = connection.execute(
                "SELECT m.subject FROM copy c JOIN message m ON m.id = c.message_id"
                " WHERE c.mailbox_id = %s AND c.folder = 1",
                (person.id,),
            )
            return [subject for (subject,) in rows]

    assert inbox(reader) == ["Minutes"]
    assert inbox(other) == (["Message recalled / 邮件已撤回"] if tombstone else [])


@pytest.mark.rule(6, 10)
@pytest.mark.parametrize("channel", [Channel.SUBMISSION, Channel.LMTP, Channel.SYSTEM])
def test_r6_only_webmail_messages_can_be_recalled(process, databases, channel):
    firm = company.found(databases, people=2)
    message_id = correspondence.send(databases, firm.people[0], firm.people[1], channel=channel)

    asked = correspondence.ask(databases, firm.people[0], message_id)

    assert asked == Refused(Refusal.NOT_SENT_FROM_WEBMAIL)
    dispatch.run(process)


@pytest.mark.rule(3, 10)
def test_r3_the_window_counts_from_acceptance_to_the_request(process, databases):
    firm = company.found(databases, people=2)
    moment = clock.now()
    early = correspondence.send(databases, firm.people[0], firm.people[1], now=moment - timedelta(hours=24))
    late = correspondence.send(
        databases, firm.people[0], firm.people[1], now=moment - timedelta(hours=24, microseconds=1)
    )

    assert isinstance(correspondence.ask(databases, firm.people[0], early, now=moment), Requested)
    assert correspondence.ask(databases, firm.people[0], late, now=moment) == Refused(
        Refusal.WINDOW_EXPIRED, closed_at=moment - timedelta(microseconds=1)
    )
    assert isinstance(correspondence.ask(databases, firm.postmaster, late, now=moment), Requested)
    dispatch.run(process)


@pytest.mark.rule(10, 24)
def test_r10_refusals_name_what_is_wrong_and_nothing_else(process, databases):
    firm = company.found(databases, people=3, switches={"recalls_per_hour": 1})
    other = company.found(databases, people=1)
    sender, recipient, _ = firm.people
    message_id = correspondence.send(databases, sender, recipient)
    outside = correspondence.send(databases, sender, "someone@elsewhere.example")
    elsewhere = correspondence.send(databases, sender, other.people[0])

    def refusal(requester, message):
        verdict = correspondence.ask(databases, requester, message)
        return verdict.refusal if isinstance(verdict, Refused) else None

    assert refusal(sender, 999_999_998) is Refusal.NOT_FOUND
    assert refusal(recipient, message_id) is Refusal.NOT_SENDER
    assert refusal(other.people[0], message_id) is Refusal.NOT_FOUND
    assert refusal(other.postmaster, message_id) is Refusal.NOT_FOUND
    assert refusal(sender, outside) is Refusal.NO_LOCAL_RECIPIENTS
    assert refusal(sender, elsewhere) is Refusal.NO_LOCAL_RECIPIENTS
    assert refusal(sender, message_id) is None
    assert refusal(sender, correspondence.send(databases, sender, recipient)) is Refusal.RATE_LIMITED
    dispatch.run(process)


@pytest.mark.rule(9)
def test_r9_a_row_that_cannot_be_withdrawn_stands_alone(process, databases):
    firm = company.found(databases, people=12)
    sender, *others = firm.people
    bad = others[5]
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    with correspondence.withdrawal_fails(databases, bad):
        view = correspondence.recalled(process, sender, message_id)

    ledger = correspondence.ledger(databases, view.id)
    assert ledger.of(bad) is Outcome.UNREACHABLE
    assert ledger.counts == {Outcome.RECALLED: 10, Outcome.UNREACHABLE: 1}
    assert view.result is Result.PARTIAL

    # R12: asked for again, the one that failed is tried again
    again = correspondence.recalled(process, sender, message_id)

    assert correspondence.ledger(databases, view.id).counts == {Outcome.RECALLED: 11}
    assert again.tally.as_slugs() == {"recalled": 11}
    assert again.result is Result.SUCCEEDED


@pytest.mark.rule(9, 12)
def test_r9_what_no_shard_answered_for_by_the_deadline_is_unreachable_and_can_be_tried_again(process, databases):
    firm = company.found(databases, people=6)
    sender, *others = firm.people
    team = company.group(databases, f"team@{firm.domain}", others)
    message_id = correspondence.send(databases, sender, team)
    dispatch.run(process)
    start = clock.now()
    asked = correspondence.ask(databases, sender, message_id, now=start, deadline=timedelta(minutes=1))
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)

    reconcile(process, now=start + timedelta(minutes=1, seconds=process.settings.statement_timeout))
    with databases.control() as connection:
        waiting = views.get(connection, asked.recall.id)
    reconcile(process, now=start + timedelta(minutes=1, seconds=process.settings.statement_timeout + 1))
    later = clock.now() + timedelta(minutes=3)
    dispatch.run(process, now=later)
    with databases.control() as connection:
        given_up = views.get(connection, asked.recall.id)

    assert waiting is not None
    assert waiting.state is State.RUNNING
    assert given_up is not None
    assert (given_up.state, given_up.result) == (State.SETTLED, Result.FAILED)
    assert {via: tally.as_slugs() for via, tally in given_up.by_via.items()} == {1: {"unreachable": 5}}
    assert all(correspondence.has_copy(databases, person, message_id) for person in others)

    again = correspondence.recalled(process, sender, message_id)
    assert again.tally.as_slugs() == {"recalled": 5}
    assert again.result is Result.SUCCEEDED


def test_every_withdrawal_may_run_twice_and_die_between_the_databases(process, databases):
    firm = company.found(databases, people=9)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)
    with databases.control() as connection:
        work = connection.execute("SELECT id, args FROM outbox WHERE task = 'recall.withdraw'").fetchall()

    class DiedAfterTheShardError(Exception):
        pass

    class Dying(Databases):
        def control(self):
            self.asked = getattr(self, "asked", 0) + 1
            if self.asked > 1:
                raise DiedAfterTheShardError
            return super().control()

    for work_id, args in work:
        dying = Dying(process.settings, "dying")
        with pytest.raises(DiedAfterTheShardError):
            dispatch.USE_CASES[Task.WITHDRAW](
                Process(process.settings, dying), work_id=work_id, now=clock.now(), **args
            )
        dying.close()
    for work_id, args in [*work, *work]:
        dispatch.USE_CASES[Task.WITHDRAW](process, work_id=work_id, now=clock.now(), **args)
    dispatch.run(process)

    with databases.control() as connection:
        view = views.get(connection, asked.recall.id)
    assert view is not None
    assert view.tally.as_slugs() == {"recalled": 8}
    assert correspondence.ledger(databases, asked.recall.id).counts == {Outcome.RECALLED: 8}
