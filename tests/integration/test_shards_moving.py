"""Mailboxes that move to another shard: everything comes along, and every recall ends exact, whatever was under way."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace

import psycopg
import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import State
from mailrecall.mailstore import imap, pop3, reading, residence
from mailrecall.mailstore.imap import Place, View
from mailrecall.mailstore.residence import MailboxMovedError
from mailrecall.messages.ids import unused_ids
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import outcomes, previews, progress, views
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.shards import dividing, moving, registry
from mailrecall.wiring import Process
from tests import company as companies
from tests import correspondence
from tests.moving import Mail, Todo, copies, move, open_work, run_all, run_one, shard_of, spread
from tests.servers import Servers

MEMBERS = 9


@pytest.fixture(scope="module")
def settings(servers: Servers) -> Iterator[Settings]:
    """Three shards, and batches so small that a group needs several on each."""
    with servers.fresh_settings(shards=3, batch_size=2) as settings:
        yield settings


@pytest.fixture(scope="module")
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings, databases)


@pytest.fixture
def mail(databases: Databases) -> Mail:
    """A message to a group on three shards, accepted and no more."""
    company = companies.found(databases, people=MEMBERS)
    company = replace(company, people=spread(databases, company.people))
    team = companies.group(databases, f"team@{company.domain}", company.people)
    return Mail(company, correspondence.send(databases, company.postmaster, team))


def read(databases: Databases, who: Account, message_id: int) -> bool:
    with residence.mailbox(databases, who) as connection:
        return reading.open_copy(connection, who.id, message_id, now=clock.now()) is not None


def ask(databases: Databases, mail: Mail) -> int:
    asked = correspondence.ask(databases, mail.sender, mail.message_id)
    assert isinstance(asked, Requested)
    return asked.recall.id


def run(process: Process[Settings], *tasks: Task) -> None:
    for todo in open_work(process.databases):
        if todo.task in tasks:
            assert run_one(process, todo)


def check(process: Process[Settings], mail: Mail, recall_id: int, *, readers: frozenset[int] = frozenset()) -> None:
    """Compare ledger, copies and counts with what must have come of the recall."""
    expected = {one.id: Outcome.ALREADY_READ if one.id in readers else Outcome.RECALLED for one in mail.members}
    ledger = correspondence.ledger(process.databases, recall_id)
    assert sorted(ledger.rows) == sorted(expected.items())
    left = copies(process.databases, mail.message_id)
    assert left == {(one.id, shard_of(process.databases, one)): 1 for one in mail.members if one.id in readers}
    with process.databases.control() as connection:
        view = views.get(connection, recall_id)
        located = outcomes.locate(connection, recall_id)
    assert view is not None
    assert view.state is State.SETTLED
    assert view.recipients == len(expected)
    assert {outcome: n for outcome, n in view.tally.counts.items() if n} == {
        outcome: n
        for outcome, n in {
            Outcome.RECALLED: len(expected) - len(readers),
            Outcome.ALREADY_READ: len(readers),
        }.items()
        if n
    }
    failed = [one.mailbox_id for shard in located.done for one in outcomes.failed_on(process.databases, located, shard)]
    assert sorted(failed) == sorted(readers)


def test_everything_of_a_mailbox_comes_along(settings: Settings, process: Process[Settings], mail: Mail):
    databases = process.databases
    run_all(process)
    who = mail.on(databases, 0)[0]
    place = Place(who.id, Folder.INBOX)
    with databases.control() as connection:
        new_ids = unused_ids(connection, 1)
    with residence.mailbox(databases, who) as connection:
        view = imap.look(connection, place, now=clock.now())
        uids = [held.uid for held in view.messages]
        imap.copy(connection, place, uids, Folder.ARCHIVE, new_ids=new_ids, now=clock.now())

    def state() -> tuple[View, View, object, object]:
        with residence.mailbox(databases, who) as connection:
            return (
                imap.look(connection, place, now=clock.now()),
                imap.look(connection, Place(who.id, Folder.ARCHIVE), now=clock.now()),
                pop3.maildrop(connection, who.id),
                reading.content_of(connection, who.id, mail.message_id),
            )

    before = state()

    move(settings, databases, [who], 1)

    assert shard_of(databases, who) == 1
    assert state() == before  # although `who` was looked up before
    for table in ("copy", "folder", "duplicate", "draft", "forward", "outcome", "moved_copy"):
        with databases.shard(0) as connection:
            assert connection.execute(f"SELECT FROM {table} WHERE mailbox_id = %s", (who.id,)).fetchall() == []
    with pytest.raises(MailboxMovedError), residence.unmoved(databases, who):
        pass


@pytest.mark.rule(2, 9)
def test_r2_r9_a_recall_after_a_move_takes_every_unread_copy_once(
    settings: Settings, process: Process[Settings], mail: Mail
):
    run_all(process)
    readers = frozenset(one.id for one in (mail.members[0], mail.members[4]))
    assert all(read(process.databases, one, mail.message_id) for one in mail.members if one.id in readers)
    move(settings, process.databases, mail.on(process.databases, 0), 1)
    move(settings, process.databases, mail.on(process.databases, 2)[:1], 1)
    recall_id = ask(process.databases, mail)
    run_all(process)
    check(process, mail, recall_id, readers=readers)


@pytest.mark.rule(1)
def test_r1_a_recall_after_a_move_spares_who_is_out_of_scope(settings: Settings, process: Process[Settings]):
    databases = process.databases
    company = companies.found(databases, people=4, domains=2, switches={"scope": "domain"})
    other = [companies.hire(databases, f"other{number}@{company.domains[1]}") for number in range(4)]
    spread(databases, [*company.people, *other])
    team = companies.group(databases, f"team@{company.domain}", [*company.people, *other])
    message_id = correspondence.send(databases, company.postmaster, team)
    run_all(process)
    move(settings, databases, [*company.people[:2], *other[:2]], 2)
    asked = correspondence.ask(databases, company.postmaster, message_id)
    assert isinstance(asked, Requested)
    run_all(process)
    ledger = correspondence.ledger(databases, asked.recall.id)
    assert {ledger.of(one) for one in company.people} == {Outcome.RECALLED}
    assert {ledger.of(one) for one in other} == {Outcome.EXTERNAL}
    assert {mailbox_id for mailbox_id, _ in copies(databases, message_id)} == {one.id for one in other}


@pytest.mark.parametrize("done", [(), (Task.WITHDRAW,)], ids=["planned", "withdrawn"])
def test_a_recall_under_way_ends_exact(
    settings: Settings, process: Process[Settings], mail: Mail, done: tuple[Task, ...]
):
    run_all(process)
    reader = mail.on(process.databases, 0)[1]
    assert read(process.databases, reader, mail.message_id)
    recall_id = ask(process.databases, mail)
    run(process, Task.PLAN)
    stale = open_work(process.databases)
    run(process, *done)
    move(settings, process.databases, mail.on(process.databases, 0), 1)
    run_all(process)
    for todo in stale:  # delivered a second time, and late
        run_late(process, todo)
    run_all(process)
    check(process, mail, recall_id, readers=frozenset([reader.id]))


def run_late(process: Process[Settings], todo: Todo) -> None:
    # where its batch has gone with the mailboxes, a worker would have found the work closed
    with suppress(LookupError):
        run_one(process, todo)


def test_a_withdrawal_that_the_control_database_does_not_know_of_moves_too(
    settings: Settings, process: Process[Settings], mail: Mail, monkeypatch: pytest.MonkeyPatch
):
    run_all(process)
    recall_id = ask(process.databases, mail)
    run(process, Task.PLAN)
    with monkeypatch.context() as patched:
        patched.setattr("mailrecall.recalls.progress.record_batch", _dies)
        for todo in open_work(process.databases):
            with pytest.raises(ConnectionAbortedError):
                run_one(process, todo)
    move(settings, process.databases, mail.on(process.databases, 0)[:2], 2)
    run_all(process)
    check(process, mail, recall_id)


def _dies(*_: object, **__: object) -> None:
    raise ConnectionAbortedError


def test_counts_that_were_read_before_a_move_are_not_recorded_after_it(
    settings: Settings, process: Process[Settings], mail: Mail, monkeypatch: pytest.MonkeyPatch
):
    run_all(process)
    recall_id = ask(process.databases, mail)
    run(process, Task.PLAN)
    record = progress.record_batch
    moved: list[bool] = []

    def record_late(*arguments: object, **named: object) -> bool:
        if not moved:
            moved.append(True)
            move(settings, process.databases, mail.on(process.databases, 0), 1)
        return record(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(progress, "record_batch", record_late)
    first = next(todo for todo in open_work(process.databases) if todo.args.get("shard") == 0)
    run_late(process, first)
    assert moved
    run_all(process)
    check(process, mail, recall_id)


@pytest.mark.parametrize("before", [(), (Task.EXPAND,)], ids=["accepted", "expanded"])
def test_a_delivery_under_way_reaches_everybody_once(
    settings: Settings, process: Process[Settings], mail: Mail, before: tuple[Task, ...]
):
    run(process, *before)
    move(settings, process.databases, mail.on(process.databases, 0), 1)
    run_all(process)
    assert copies(process.databases, mail.message_id) == {
        (one.id, shard_of(process.databases, one)): 1 for one in mail.members
    }
    with process.databases.control() as connection:
        row = connection.execute("SELECT deliveries_left FROM message WHERE id = %s", (mail.message_id,)).fetchone()
    assert row == (0,)
    recall_id = ask(process.databases, mail)
    run_all(process)
    check(process, mail, recall_id)


@pytest.mark.rule(16)
@pytest.mark.parametrize("first", [Task.DEPOSIT, Task.WITHDRAW])
def test_r16_a_message_recalled_before_its_delivery_appears_on_no_shard(
    settings: Settings, process: Process[Settings], mail: Mail, first: Task
):
    run(process, Task.EXPAND)
    recall_id = ask(process.databases, mail)
    run(process, Task.PLAN)
    run(process, first)
    move(settings, process.databases, [*mail.on(process.databases, 0), *mail.on(process.databases, 1)[:1]], 2)
    run_all(process)
    check(process, mail, recall_id)


def test_a_settled_recall_keeps_its_counts_and_its_ledger(settings: Settings, process: Process[Settings], mail: Mail):
    run_all(process)
    reader = mail.on(process.databases, 1)[0]
    assert read(process.databases, reader, mail.message_id)
    recall_id = ask(process.databases, mail)
    run_all(process)
    move(settings, process.databases, mail.on(process.databases, 1), 0)
    move(settings, process.databases, mail.on(process.databases, 0)[:3], 2)
    check(process, mail, recall_id, readers=frozenset([reader.id]))


@pytest.mark.parametrize("step", moving.STEPS)
def test_a_move_that_is_killed_is_ended_by_the_next_mover(
    settings: Settings, process: Process[Settings], mail: Mail, step: str
):
    run_all(process)
    moving_people = mail.on(process.databases, 0)
    reader = moving_people[1]
    assert read(process.databases, reader, mail.message_id)
    recall_id = ask(process.databases, mail)
    run(process, Task.PLAN)

    move(settings, process.databases, moving_people, 1, until=step)
    for todo in open_work(process.databases):
        run_late(process, todo)  # before anybody has ended the move
    assert moving.end_interrupted(settings, process.databases, now=clock.now()) == (step != "placed")

    everywhere = {shard_of(process.databases, one) for one in moving_people}
    assert everywhere == ({1} if moving.STEPS.index(step) > moving.STEPS.index("left") else {0})
    for shard in {0, 1} - everywhere:  # what nobody sees and no recall would reach is not there either
        with process.databases.shard(shard) as connection:
            for table in ("copy", "outcome", "moved_copy", "duplicate", "draft", "forward", "folder"):
                rows = connection.execute(
                    f"SELECT FROM {table} WHERE mailbox_id = ANY (%s)", ([one.id for one in moving_people],)
                )
                assert not rows.fetchall(), table
    run_all(process)
    check(process, mail, recall_id, readers=frozenset([reader.id]))
    move(settings, process.databases, moving_people, 1)
    check(process, mail, recall_id, readers=frozenset([reader.id]))


@pytest.mark.rule(25)
def test_r25_a_preview_says_the_same_after_a_move(settings: Settings, process: Process[Settings], mail: Mail):
    run_all(process)
    assert read(process.databases, mail.members[0], mail.message_id)
    assert read(process.databases, mail.members[4], mail.message_id)

    def foreseen() -> object:
        found = previews.preview(process.databases, [mail.message_id], Policy(), now=clock.now())
        return found[mail.message_id].by_via

    before = foreseen()
    move(settings, process.databases, mail.on(process.databases, 0)[:2], 1)
    assert foreseen() == before
    move(settings, process.databases, mail.members, 2)
    assert foreseen() == before


def test_back_and_forth_ends_where_it_began(settings: Settings, process: Process[Settings], mail: Mail):
    run_all(process)
    travellers = mail.on(process.databases, 0)
    for target in (1, 2, 0, 1, 0):
        move(settings, process.databases, travellers, target)
    assert read(process.databases, travellers[0], mail.message_id)
    recall_id = ask(process.databases, mail)
    run_all(process)
    check(process, mail, recall_id, readers=frozenset([travellers[0].id]))


def everything(databases: Databases, who: Account) -> object:
    with residence.mailbox(databases, who) as connection:
        view = imap.look(connection, Place(who.id, Folder.INBOX), now=clock.now())
    return view.uid_validity, view.messages


@pytest.mark.parametrize("failures", [1, 2], ids=["ended_at_once", "ended_by_the_next_try"])
def test_a_move_that_fails_after_the_leaving_is_not_done_a_second_time(
    settings: Settings, process: Process[Settings], mail: Mail, monkeypatch: pytest.MonkeyPatch, failures: int
):
    run_all(process)
    who = mail.on(process.databases, 0)[0]
    before = everything(process.databases, who)
    divide = dividing.divide
    failed: list[bool] = []

    def deadlocked(*arguments: object, **named: object) -> None:
        if len(failed) < failures:
            failed.append(True)
            raise psycopg.errors.DeadlockDetected
        divide(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(dividing, "divide", deadlocked)
    with moving.mover(settings, process.databases) as mover:
        registry.move_some(mover, 0, 1, [who.id], pause=lambda _: None, now=clock.now)
    assert len(failed) == failures
    assert shard_of(process.databases, who) == 1
    assert everything(process.databases, who) == before


def test_mailboxes_are_not_moved_from_where_they_are_not(settings: Settings, process: Process[Settings], mail: Mail):
    run_all(process)
    gone, elsewhere = mail.on(process.databases, 0)[0], mail.on(process.databases, 1)[0]
    move(settings, process.databases, [gone], 1)
    before = [everything(process.databases, who) for who in (gone, elsewhere)]
    for who in (gone, elsewhere):
        with moving.mover(settings, process.databases) as mover, pytest.raises(MailboxMovedError):
            mover.move(0, 1, [who.id], now=clock.now())
    assert [everything(process.databases, who) for who in (gone, elsewhere)] == before


def test_one_mover_at_a_time(settings: Settings, databases: Databases):
    with ExitStack() as stack:
        stack.enter_context(moving.mover(settings, databases))
        with pytest.raises(moving.MoveUnderWayError):
            stack.enter_context(moving.mover(settings, databases))
    with moving.mover(settings, databases):
        pass
