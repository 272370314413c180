"""R26: an undo puts back what a recall took, by the use cases on real databases."""

from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.audit import trail
from mailrecall.directory import accounts
from mailrecall.domain.addresses import Address
from mailrecall.domain.copies import Fact, Flag, Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Requester
from mailrecall.domain.undo import UndoRefusal, UndoRefused, UndoState
from mailrecall.mailstore import changes, imap, pop3, reading
from mailrecall.mailstore.changes import Change, Kind
from mailrecall.mailstore.imap import Place
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import undoing, views
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.recall.reconciling import reconcile
from tests import company, correspondence, dispatch


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 4}), databases)


def ask_undo(databases, requester, recall, *, now=None):
    with databases.control() as connection:
        return undoing.request(
            connection,
            Requester(requester.id, requester.organisation_id, requester.administrator),
            recall.public_id,
            "it was right after all",
            now=now or clock.now(),
        )


def undone(process, requester, recall):
    """Undo a recall, to its end."""
    assert isinstance(ask_undo(process.databases, requester, recall), undoing.Undoing)
    dispatch.run(process)
    with process.databases.control() as connection:
        undo = undoing.find(connection, recall.id)
    assert undo is not None
    return undo


def copies(databases, message_id):
    """Each mailbox's row of a message, without UIDs."""
    found: dict[int, tuple[int, ...]] = {}
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            rows = connection.execute(
                "SELECT mailbox_id, folder, via, facts, flags FROM copy WHERE message_id = %s", (message_id,)
            )
            found |= {row[0]: row[1:] for row in rows}
    return found


@pytest.mark.rule(26)
def test_r26_the_same_copies_come_back_where_they_lay_and_unread(process, databases):
    firm = company.found(databases, people=14)
    sender, *others = firm.people
    team = company.group(databases, f"team@{firm.domain}", others[4:])
    message_id = correspondence.send(databases, sender, *others[:4], team)
    dispatch.run(process)
    moved, flagged, read = others[0], others[5], others[6]
    with databases.shard(moved.shard) as connection:
        reading.move(connection, moved.id, message_id, Folder.ARCHIVE)
    with databases.shard(flagged.shard) as connection:
        inbox = Place(flagged.id, Folder.INBOX)
        (held,) = imap.look(connection, inbox, now=clock.now()).messages
        imap.set_flags(
            connection, inbox, [held.uid], added=Flag.FLAGGED | Flag.ANSWERED, cleared=Flag(0), now=clock.now()
        )
    correspondence.happen(databases, read, message_id, Fact.READ)
    before = copies(databases, message_id)

    view = correspondence.recalled(process, sender, message_id)
    assert copies(databases, message_id).keys() == {read.id}
    undo = undone(process, firm.postmaster, view)

    assert copies(databases, message_id) == before
    assert (undo.state, undo.restored, undo.gone) == (UndoState.RESTORED, 12, 0)
    # what the recall did is still what it did
    with databases.control() as connection:
        after = views.get(connection, view.id)
    assert after is not None
    assert after.tally == view.tally


@pytest.mark.rule(26)
def test_r26_programs_see_what_came_back_as_newly_arrived(process, databases):
    firm = company.found(databases, people=2)
    sender, recipient = firm.people
    message_id = correspondence.send(databases, sender, recipient)
    dispatch.run(process)

    def uids():
        with databases.shard(recipient.shard) as connection:
            view = imap.look(connection, Place(recipient.id, Folder.INBOX), now=clock.now())
        return [held.uid for held in view.messages]

    def maildrop():
        with databases.shard(recipient.shard) as connection:
            return [listed.copy_id for listed in pop3.maildrop(connection, recipient.id)]

    assert (maildrop(), uids()) == ([message_id], [1])
    view = correspondence.recalled(process, sender, message_id)
    assert maildrop() == []
    with databases.shard(recipient.shard) as listener:
        listener.execute(changes.LISTEN)
        listener.commit()
        undone(process, firm.postmaster, view)
        told = [Change.parse(notice.payload) for notice in listener.notifies(timeout=60, stop_after=1)]

    assert Change(message_id, recipient.id, recipient.id, Kind.DEPOSITED) in told
    # RFC 1939: the same message under the same unique id; RFC 3501 section 2.3.1.1: never the old number
    assert (maildrop(), uids()) == ([message_id], [2])


@pytest.mark.rule(17, 26)
def test_r17_r26_the_notice_goes_when_the_message_comes_back(process, databases):
    firm = company.found(databases, people=3, switches={"tombstone": True})
    sender, kept, trashed = firm.people
    message_id = correspondence.send(databases, sender, kept, trashed)
    dispatch.run(process)
    view = correspondence.recalled(process, sender, message_id)
    with databases.control() as connection:
        row = connection.execute("SELECT notice_message_id FROM recall WHERE id = %s", (view.id,)).fetchone()
    assert row is not None
    notice_id = row[0]
    with databases.shard(trashed.shard) as connection:
        reading.move(connection, trashed.id, notice_id, Folder.TRASH)
    assert copies(databases, notice_id).keys() == {kept.id, trashed.id}

    undone(process, firm.postmaster, view)

    assert copies(databases, notice_id) == {}
    assert {folder for folder, *_ in copies(databases, message_id).values()} == {Folder.INBOX}


@pytest.mark.rule(26)
def test_r26_copies_that_their_owner_made_come_back_too(process, databases):
    firm = company.found(databases, people=2)
    sender, recipient = firm.people
    message_id = correspondence.send(databases, sender, recipient)
    dispatch.run(process)
    duplicate_id = message_id + 10_000_000
    with databases.shard(recipient.shard) as connection:
        inbox = Place(recipient.id, Folder.INBOX)
        (held,) = imap.look(connection, inbox, now=clock.now()).messages
        imap.set_flags(connection, inbox, [held.uid], added=Flag.FLAGGED, cleared=Flag(0), now=clock.now())
        imap.copy(connection, inbox, [held.uid], Folder.ARCHIVE, new_ids=[duplicate_id], now=clock.now())

    view = correspondence.recalled(process, sender, message_id)
    assert copies(databases, duplicate_id) == {}
    undone(process, firm.postmaster, view)

    assert copies(databases, duplicate_id) == {recipient.id: (Folder.ARCHIVE, 0, 0, Flag.FLAGGED)}
    with databases.shard(recipient.shard) as connection:
        row = connection.execute(
            "SELECT origin_id FROM duplicate WHERE mailbox_id = %s AND message_id = %s", (recipient.id, duplicate_id)
        ).fetchone()
    assert row == (message_id,)


@pytest.mark.rule(26)
def test_r26_a_closed_mailbox_stays_gone(process, databases):
    firm = company.found(databases, people=3)
    sender, leaver, stayer = firm.people
    message_id = correspondence.send(databases, sender, leaver, stayer)
    dispatch.run(process)
    view = correspondence.recalled(process, sender, message_id)
    accounts.close_account(databases, Address.parse(leaver.address), now=clock.now())

    undo = undone(process, firm.postmaster, view)

    assert (undo.restored, undo.gone) == (1, 1)
    assert copies(databases, message_id).keys() == {stayer.id}


@pytest.mark.rule(16, 26)
def test_r16_r26_what_was_recalled_before_its_delivery_is_delivered(process, databases):
    firm = company.found(databases, people=6)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN, Task.WITHDRAW, Task.SETTLE)
    with databases.control() as connection:
        view = views.get(connection, asked.recall.id)
    assert view is not None
    assert view.tally.as_slugs() == {"recalled": 5}
    assert isinstance(ask_undo(databases, firm.postmaster, view), undoing.Undoing)

    # not before the deposit has brought the content, and served those whom the recall did not reach
    dispatch.run(process, Task.RESTORE)
    assert copies(databases, message_id) == {}
    dispatch.run(process)
    dispatch.run(process, now=clock.now() + timedelta(seconds=10))

    assert copies(databases, message_id).keys() == {person.id for person in others}
    with databases.shard(others[0].shard) as connection:
        assert reading.content_of(connection, others[0].id, message_id)
    with databases.control() as connection:
        undo = undoing.find(connection, view.id)
    assert undo is not None
    assert (undo.state, undo.restored) == (UndoState.RESTORED, 5)


@pytest.mark.rule(12, 26)
def test_r12_r26_asking_again_is_the_same_undo_and_then_the_message_can_be_recalled_anew(process, databases):
    firm = company.found(databases, people=6)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    view = correspondence.recalled(process, sender, message_id)

    first = ask_undo(databases, firm.postmaster, view)
    again = ask_undo(databases, firm.postmaster, view)
    # R12: until all of it is back, asking for a recall gives the one there is
    meanwhile = correspondence.ask(databases, sender, message_id)
    assert isinstance(first, undoing.Undoing)
    assert isinstance(again, undoing.Undoing)
    assert isinstance(meanwhile, Requested)
    assert (first.created, again.created, meanwhile.created) == (True, False, False)
    dispatch.run(process)
    correspondence.happen(databases, others[0], message_id, Fact.READ)
    second = correspondence.recalled(process, sender, message_id)

    assert second.id != view.id
    assert second.tally.as_slugs() == {"recalled": 4, "already_read": 1}
    assert correspondence.ledger(databases, second.id).of(others[0]) is Outcome.ALREADY_READ
    with databases.control() as connection:
        mark = views.of_messages(connection, [message_id | 1])[message_id]
        assert (mark.public_id, mark.undo) == (second.public_id, None)
    assert undone(process, firm.postmaster, second).restored == 4
    with databases.control() as connection:
        assert views.of_messages(connection, [message_id | 1])[message_id].undo is UndoState.RESTORED


@pytest.mark.rule(12, 26)
def test_r12_r26_asking_again_while_it_is_undone_takes_nothing_where_a_shard_had_not_answered(process, databases):
    firm = company.found(databases, people=9)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    start = clock.now()
    asked = correspondence.ask(databases, sender, message_id, now=start, deadline=timedelta(minutes=1))
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)
    with databases.control() as connection:
        connection.execute(
            "UPDATE outbox SET due_at = due_at + interval '1 day'"
            " WHERE task = 'recall.withdraw' AND args ->> 'shard' = '1'"
        )
    dispatch.run(process, Task.WITHDRAW)
    reconcile(process, now=start + timedelta(minutes=1, seconds=process.settings.statement_timeout + 1))
    dispatch.run(process, Task.SETTLE, now=clock.now() + timedelta(minutes=3))
    with databases.control() as connection:
        view = views.get(connection, asked.recall.id)
    assert view is not None
    assert 0 < view.tally[Outcome.UNREACHABLE] < len(others)

    assert isinstance(ask_undo(databases, firm.postmaster, view), undoing.Undoing)
    meanwhile = correspondence.ask(databases, sender, message_id)
    assert isinstance(meanwhile, Requested)
    assert (meanwhile.created, meanwhile.recall.state) == (False, view.state)
    with databases.control() as connection:
        mark = views.of_messages(connection, [message_id | 1])[message_id]
    assert (mark.public_id, mark.undo) == (view.public_id, UndoState.RESTORING)  # this is what whoever asks is shown
    dispatch.run(process)

    assert copies(databases, message_id).keys() == {person.id for person in others}


@pytest.mark.rule(26, 27)
def test_r26_r27_every_step_of_an_undo_is_in_the_audit_trail(process, databases):
    firm, other = (company.found(databases, people=3) for _ in range(2))
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    view = correspondence.recalled(process, sender, message_id)
    late = clock.now() + timedelta(days=8)

    assert ask_undo(databases, sender, view) == UndoRefused(UndoRefusal.NOT_ALLOWED)
    assert ask_undo(databases, other.postmaster, view) == UndoRefused(UndoRefusal.NOT_FOUND)
    too_late = ask_undo(databases, firm.postmaster, view, now=late)
    assert isinstance(too_late, UndoRefused)
    assert too_late.refusal is UndoRefusal.RETENTION_OVER
    undone(process, firm.postmaster, view)

    with databases.control() as connection:
        ours = trail.page(connection, firm.organisation_id, recall=view.public_id, before=trail.NEWEST, limit=9)
        theirs = trail.page(connection, other.organisation_id, recall=None, before=trail.NEWEST, limit=9)
    assert [(one.record.event, one.record.details.get("refusal")) for one in reversed(ours)][2:] == [
        ("undo_refused", "not_allowed"),
        ("undo_refused", "retention_over"),
        ("undo_requested", None),
        ("undo_finished", None),
    ]
    assert ours[0].record.details == {"restored": 2, "gone": 0}
    assert ours[1].record.details == {"reason": "it was right after all"}
    # R24: of another organisation's recall not even the number
    (refused,) = theirs
    assert (refused.record.recall_id, refused.record.message_id) == (None, None)


@pytest.mark.rule(26)
def test_r26_a_restoration_may_run_twice_late_and_die_between_the_databases(process, databases):
    firm = company.found(databases, people=9)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    view = correspondence.recalled(process, sender, message_id)
    ask_undo(databases, firm.postmaster, view)
    with databases.control() as connection:
        work = connection.execute("SELECT id, args FROM outbox WHERE task = 'recall.restore'").fetchall()
    assert len(work) > 1

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
            dispatch.USE_CASES[Task.RESTORE](Process(process.settings, dying), work_id=work_id, now=clock.now(), **args)
        dying.close()
    # somebody reads theirs before the next run
    correspondence.happen(databases, others[0], message_id, Fact.READ)
    for work_id, args in [*work, *work]:
        dispatch.USE_CASES[Task.RESTORE](process, work_id=work_id, now=clock.now(), **args)

    with databases.control() as connection:
        undo = undoing.find(connection, view.id)
    assert undo is not None
    assert (undo.state, undo.restored) == (UndoState.RESTORED, 8)
    assert copies(databases, message_id).keys() == {person.id for person in others}
