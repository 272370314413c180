"""R26 after R9: an undo of a recall that had given up on a shard, which had done more, or does more, than it said."""

import threading
from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.directory import accounts
from mailrecall.directory.lookup import Account, account_by_id
from mailrecall.domain.addresses import Address
from mailrecall.domain.copies import Folder
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import State
from mailrecall.domain.undo import UndoState
from mailrecall.mailstore import reading
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import previews, undoing, views
from mailrecall.recalls.requests import Requested
from mailrecall.recalls.undoing import Undo
from mailrecall.recalls.views import RecallView
from mailrecall.settings import REMOVED_SHARD, Settings
from mailrecall.shards import carrying, dividing, registry
from mailrecall.wiring import Process
from services.recall.reconciling import reconcile
from tests import company, correspondence, dispatch
from tests.company import Company
from tests.integration.test_undo import ask_undo, copies, undone
from tests.locks import until_somebody_waits_for_a_lock
from tests.moving import move, open_work, run_all, run_one

DEADLINE = timedelta(minutes=1)


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 4}), databases)


def ask(process, sender, message_id):
    asked = correspondence.ask(process.databases, sender, message_id, deadline=DEADLINE)
    assert isinstance(asked, Requested)
    return asked.recall.id


def kept_out(process) -> tuple[Company, int, int]:
    """A mail to five people, recalled before its deposit, which left all copies out; its number and the recall's."""
    firm = company.found(process.databases, people=6)
    sender, *others = firm.people
    message_id = correspondence.send(process.databases, sender, *others)
    dispatch.run(process, Task.EXPAND)
    recall_id = ask(process, sender, message_id)
    dispatch.run(process, Task.PLAN, Task.DEPOSIT, Task.FILE_AUTHOR_COPY)
    return firm, message_id, recall_id


def give_up(process, recall_id) -> tuple[RecallView, list[dict[str, int]]]:
    """Let a planned recall give up on all its batches; returns it, settled, and the work that was on its way."""
    with process.databases.control() as connection:
        late = connection.execute("SELECT args FROM outbox WHERE task = %s", (Task.WITHDRAW,)).fetchall()
    reconcile(process, now=clock.now() + DEADLINE + timedelta(seconds=process.settings.statement_timeout + 1))
    dispatch.run(process, now=clock.now() + timedelta(minutes=3))
    assert late
    return settled(process.databases, recall_id), [args for (args,) in late]


def settled(databases, recall_id) -> RecallView:
    with databases.control() as connection:
        view = views.get(connection, recall_id)
    assert view is not None
    assert view.state is State.SETTLED
    return view


def found(databases, recall_id) -> Undo:
    with databases.control() as connection:
        undo = undoing.find(connection, recall_id)
    assert undo is not None
    return undo


def residing(databases, person) -> Account:
    """The mailbox where it is by now."""
    with databases.control() as connection:
        account = account_by_id(connection, person.id)
    assert account is not None
    return account


def listed(databases, person) -> list[int]:
    with databases.shard(person.shard) as connection:
        return [entry.copy_id for entry in reading.list_folder(connection, person.id, Folder.INBOX, limit=9)]


def assert_all_have_it(databases, recall_id, message_id, others) -> None:
    undo = found(databases, recall_id)
    assert (undo.state, undo.restored) == (UndoState.RESTORED, len(others))
    assert all(listed(databases, residing(databases, person)) == [message_id] for person in others)


@pytest.mark.rule(9, 16, 26)
def test_r16_r26_what_was_recalled_before_it_was_delivered_comes_in_though_the_shard_was_given_up(process, databases):
    firm, message_id, recall_id = kept_out(process)
    others = firm.people[1:]
    assert copies(databases, message_id) == {}
    view, late = give_up(process, recall_id)
    assert view.tally.as_slugs() == {"unreachable": 5}

    undo = undone(process, firm.postmaster, view)
    for args in late:
        withdraw_late(process, **args)

    assert (undo.state, undo.restored) == (UndoState.RESTORED, 5)
    assert copies(databases, message_id).keys() == {person.id for person in others}


@pytest.mark.rule(25, 26)
@pytest.mark.parametrize("gives_up", [False, True], ids=["withdrawn", "given up"])
def test_r25_r26_a_preview_looks_at_what_an_undo_has_brought_in(process, databases, gives_up):
    firm, message_id, recall_id = kept_out(process)
    others = firm.people[1:]
    if gives_up:
        view, _ = give_up(process, recall_id)
    else:
        run_all(process)
        view = settled(databases, recall_id)
    accounts.close_account(databases, Address.parse(others[0].address), now=clock.now())
    undone(process, firm.postmaster, view)

    foreseen = previews.preview(databases, [message_id], Policy(), now=clock.now())[message_id]

    assert foreseen.tally.as_slugs() == {"recalled": 4, "gone": 1}
    again = ask(process, firm.people[0], message_id)
    run_all(process)
    assert settled(databases, again).tally == foreseen.tally


@pytest.mark.rule(16, 26)
@pytest.mark.parametrize("moves", ["before it was withdrawn", "before it was put back"])
def test_r16_r26_who_moved_without_a_trace_of_the_message_gets_it_from_the_undo(process, databases, moves):
    firm, message_id, recall_id = kept_out(process)
    others = firm.people[1:]
    mover = others[0]
    if moves == "before it was withdrawn":
        move(process.settings, databases, [mover], 1 - mover.shard)
        run_all(process)
        view = settled(databases, recall_id)
        assert view.tally.as_slugs() == {"recalled": 5}
    else:
        view, _ = give_up(process, recall_id)
        move(process.settings, databases, [mover], 1 - mover.shard)

    assert isinstance(ask_undo(databases, firm.postmaster, view), undoing.Undoing)
    run_all(process)

    assert_all_have_it(databases, recall_id, message_id, others)


@pytest.mark.rule(16, 26)
def test_r16_r26_who_moved_before_the_deposit_gets_the_message_from_an_undo_that_waits_for_it(process, databases):
    firm = company.found(databases, people=6)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process, Task.EXPAND)
    recall_id = ask(process, sender, message_id)
    dispatch.run(process, Task.PLAN)
    late = clock.now() + DEADLINE + timedelta(seconds=process.settings.statement_timeout + 1)
    reconcile(process, now=late)
    dispatch.run(process, Task.SETTLE, now=late)
    view = settled(databases, recall_id)
    assert view.tally.as_slugs() == {"recalled": 5}
    assert isinstance(ask_undo(databases, firm.postmaster, view), undoing.Undoing)
    # one batch is divided, and of the other one everybody leaves
    movers = [others[0], *[person for person in others if person.shard != others[0].shard]]
    for mover in movers:
        move(process.settings, databases, [mover], 1 - mover.shard)
    run_all(process)

    assert_all_have_it(databases, recall_id, message_id, others)


@pytest.mark.rule(16, 26)
def test_r16_r26_who_moved_without_the_message_gets_it_from_a_shard_that_has_it(process, databases, monkeypatch):
    firm = company.found(databases, people=8)
    sender, first, *rest = firm.people
    # nobody else's delivery brings it to the other shard
    others = [first, *[person for person in rest if person.shard == first.shard]]
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process, Task.EXPAND)
    recall_id = ask(process, sender, message_id)
    dispatch.run(process, Task.PLAN, Task.DEPOSIT, Task.FILE_AUTHOR_COPY)
    move(process.settings, databases, [first], 1 - first.shard)
    with monkeypatch.context() as patched:
        # as batches were mended once
        patched.setattr(carrying, "send_messages", lambda *_: None)
        run_all(process)
    view = settled(databases, recall_id)

    assert isinstance(ask_undo(databases, firm.postmaster, view), undoing.Undoing)
    run_all(process)

    assert_all_have_it(databases, recall_id, message_id, others)


@pytest.mark.rule(16, 26)
def test_r16_r26_what_a_drained_shard_had_kept_out_comes_in_once_that_shard_is_removed(process, databases):
    firm, message_id, recall_id = kept_out(process)
    others = firm.people[1:]
    view, _ = give_up(process, recall_id)
    drained, *left = databases.shards
    move(process.settings, databases, [person for person in firm.people if person.shard == drained], left[0])
    registry.sweep(databases, drained, now=clock.now())
    urls = list(process.settings.shard_urls)
    urls[drained] = REMOVED_SHARD
    settings = process.settings.model_copy(update={"shard_urls": tuple(urls)})

    assert isinstance(ask_undo(databases, firm.postmaster, view), undoing.Undoing)
    remaining = Databases(settings, "tests")
    try:
        run_all(Process(settings, remaining))
    finally:
        remaining.close()

    assert_all_have_it(databases, recall_id, message_id, others)


@pytest.mark.rule(16, 26)
@pytest.mark.parametrize("gives_up", [False, True], ids=["withdrawn", "given up"])
def test_r16_r26_who_moved_gets_the_message_though_the_rest_was_deposited_while_they_got_a_batch_of_their_own(
    process, databases, monkeypatch, gives_up
):
    firm = company.found(databases, people=8)
    sender, first, *rest = firm.people
    # nobody else's delivery brings it to the other shard
    others = [first, *[person for person in rest if person.shard == first.shard]]
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process, Task.EXPAND)
    recall_id = ask(process, sender, message_id)
    dispatch.run(process, Task.PLAN)
    move(process.settings, databases, [first], 1 - first.shard)
    deposit, withdrawal = [
        next(one for one in open_work(databases) if one.task == task) for task in (Task.DEPOSIT, Task.WITHDRAW)
    ]
    # it misses nobody, for it leaves everybody out
    depositing = threading.Thread(target=run_one, args=(process, deposit))
    divide = dividing.divide

    def divide_late(*arguments, **named):
        if not depositing.ident:
            depositing.start()
            until_somebody_waits_for_a_lock(process.settings, unless=lambda: not depositing.is_alive())
        divide(*arguments, **named)

    monkeypatch.setattr(dividing, "divide", divide_late)
    assert not run_one(process, withdrawal), "the withdrawal must find out that somebody has moved"
    depositing.join(60)
    if gives_up:
        view, _ = give_up(process, recall_id)
    else:
        run_all(process)
        view = settled(databases, recall_id)
        assert view.tally.as_slugs() == {"recalled": len(others)}

    assert isinstance(ask_undo(databases, firm.postmaster, view), undoing.Undoing)
    run_all(process)

    assert_all_have_it(databases, recall_id, message_id, others)


@pytest.mark.rule(9, 12, 26)
def test_r9_r26_a_second_try_that_was_given_up_takes_nothing_after_the_undo(process, databases):
    firm = company.found(databases, people=6)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    recall_id = ask(process, sender, message_id)
    dispatch.run(process, Task.PLAN)
    give_up(process, recall_id)
    assert ask(process, sender, message_id) == recall_id
    view, late = give_up(process, recall_id)
    assert view.tally.as_slugs() == {"unreachable": 5}

    undone(process, firm.postmaster, view)
    for args in late:
        withdraw_late(process, **args)

    assert copies(databases, message_id).keys() == {person.id for person in others}


@pytest.mark.rule(9, 26)
def test_r9_r26_a_withdrawal_that_was_given_up_takes_nothing_after_the_undo(process, databases):
    firm = company.found(databases, people=6)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    recall_id = ask(process, sender, message_id)
    dispatch.run(process, Task.PLAN)
    view, late = give_up(process, recall_id)
    assert view.tally.as_slugs() == {"unreachable": 5}

    undo = undone(process, firm.postmaster, view)
    # on their way since before the deadline: what they find on the shard is that their place is taken
    for args in late:
        withdraw_late(process, **args)

    assert (undo.state, undo.restored) == (UndoState.RESTORED, 0)
    assert copies(databases, message_id).keys() == {person.id for person in others}
    with databases.control() as connection:
        after = views.get(connection, view.id)
    assert after is not None
    assert after.tally.as_slugs() == {"unreachable": 5}


def withdraw_late(process, *, recall_id, batch, shard):
    """Withdraw a batch as a task does that read its row before it was given up."""
    state = "UPDATE recall_batch SET state = %s WHERE recall_id = %s AND batch = %s"
    with process.databases.control() as connection:
        connection.execute(state, ("pending", recall_id, batch))
    dispatch.USE_CASES[Task.WITHDRAW](
        process, recall_id=recall_id, batch=batch, shard=shard, work_id=0, now=clock.now()
    )
    with process.databases.control() as connection:
        connection.execute(state, ("unreachable", recall_id, batch))


@pytest.mark.rule(9, 12, 26)
def test_r12_r26_a_second_try_of_a_copy_that_failed_takes_nothing_after_the_undo(process, databases):
    firm = company.found(databases, people=4)
    sender, bad, *others = firm.people
    message_id = correspondence.send(databases, sender, bad, *others)
    dispatch.run(process)
    with correspondence.withdrawal_fails(databases, bad):
        view = correspondence.recalled(process, sender, message_id)
    assert view.tally.as_slugs() == {"recalled": 2, "unreachable": 1}
    assert ask(process, sender, message_id) == view.id
    view, late = give_up(process, view.id)

    undone(process, firm.postmaster, view)
    for args in late:
        withdraw_late(process, **args)

    assert copies(databases, message_id).keys() == {bad.id, *[person.id for person in others]}
