"""R26: what is purged when a recall's retention is over, and what a legal hold keeps; on real databases."""

import threading
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest

from mailrecall import clock
from mailrecall.audit import trail
from mailrecall.directory import holds
from mailrecall.domain.copies import Fact, Folder
from mailrecall.domain.recalls import Requester
from mailrecall.domain.trail import OPERATOR
from mailrecall.domain.undo import UndoRefusal, UndoRefused
from mailrecall.mailstore import imap
from mailrecall.mailstore.imap import Place
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import purging as control_purging
from mailrecall.recalls import undoing
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.recall import purging
from services.recall.purging import purge
from tests import company, correspondence, dispatch

WEEK = timedelta(days=7)
TICK = timedelta(microseconds=1)
LEDGERS = ("outcome", "withdrawal", "restoration", "withdrawn_duplicate")


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 4}), databases)


def settled_at(databases, view):
    with databases.control() as connection:
        row = connection.execute("SELECT settled_at FROM recall WHERE id = %s", (view.id,)).fetchone()
    return row[0]


def ledger_rows(databases, view):
    """How many rows the shards keep of a recall."""
    total = 0
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            for table in LEDGERS:
                row = connection.execute(
                    f"SELECT count(*) FROM {table} WHERE recall_id = %s".encode(), (view.id,)
                ).fetchone()
                total += row[0]
    return total


def stored(databases, *message_ids):
    """Which of these messages some shard still lists, and which it has the content of."""
    listed, bodies = set(), set()
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            keys = (list(message_ids),)
            listed |= {row[0] for row in connection.execute("SELECT id FROM message WHERE id = ANY (%s)", keys)}
            bodies |= {row[0] for row in connection.execute("SELECT id FROM body WHERE id = ANY (%s)", keys)}
    return listed, bodies


def recalled_mail(process, firm, *, readers=0):
    """A mail from the first to all others, recalled; some have read it."""
    sender, *others = firm.people
    message_id = correspondence.send(process.databases, sender, *others)
    dispatch.run(process)
    for reader in others[:readers]:
        correspondence.happen(process.databases, reader, message_id, Fact.READ)
    view = correspondence.recalled(process, sender, message_id)
    forget_reports(process.databases)
    return message_id, view


def forget_reports(databases):
    """Let the reports be written, as far as the purge looks at them: nobody here runs that work."""
    with databases.control() as connection:
        connection.execute("DELETE FROM outbox WHERE task = 'reports.summarise'")


@pytest.mark.rule(26)
def test_r26_when_the_retention_is_over_ledger_and_content_go(process, databases):
    firm = company.found(databases, people=8)
    message_id, view = recalled_mail(process, firm)
    end = settled_at(databases, view) + WEEK
    shards = {person.shard for person in firm.people[1:]} - {firm.people[0].shard}
    assert shards, "the author's own copy keeps the content on one shard only"

    purge(process, now=end)
    assert ledger_rows(databases, view) > 7
    purge(process, now=end + TICK)

    assert ledger_rows(databases, view) == 0
    listed, bodies = stored(databases, message_id)
    assert listed == set()
    # the author's copy in Sent still needs it, on the author's shard
    assert bodies == {message_id}
    for shard in shards:
        with databases.shard(shard) as connection:
            assert connection.execute("SELECT FROM body WHERE id = %s", (message_id,)).fetchone() is None
    with databases.control() as connection:
        refused = undoing.request(
            connection,
            Requester(firm.postmaster.id, firm.organisation_id, administrator=True),
            view.public_id,
            None,
            # a clock that was set back gives no second chance
            now=end,
        )
        records = trail.page(connection, firm.organisation_id, recall=view.public_id, before=trail.NEWEST, limit=9)
    assert isinstance(refused, UndoRefused)
    assert refused.refusal is UndoRefusal.RETENTION_OVER
    assert [one.record.event for one in records].count("purged") == 1


@pytest.mark.rule(18, 26)
def test_r18_r26_nothing_is_purged_before_the_report_has_read_it(process, databases):
    firm = company.found(databases, people=3)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    view = correspondence.recalled(process, sender, message_id)
    over = settled_at(databases, view) + WEEK + TICK

    purge(process, now=over)
    assert len(correspondence.ledger(databases, view.id).rows) == 2
    forget_reports(databases)
    purge(process, now=over)

    assert ledger_rows(databases, view) == 0


@pytest.mark.rule(26)
def test_r26_content_that_anything_refers_to_stays(process, databases):
    firm = company.found(databases, people=8)
    message_id, view = recalled_mail(process, firm, readers=1)
    reader = firm.people[1]

    purge(process, now=settled_at(databases, view) + WEEK + TICK)

    assert ledger_rows(databases, view) == 0
    assert correspondence.has_copy(databases, reader, message_id)
    with databases.shard(reader.shard) as connection:
        assert connection.execute("SELECT FROM body WHERE id = %s", (message_id,)).fetchone() is not None


@pytest.mark.rule(26)
def test_r26_after_an_undo_nothing_is_missing(process, databases):
    firm = company.found(databases, people=8, switches={"tombstone": True})
    message_id, view = recalled_mail(process, firm)
    with databases.control() as connection:
        row = connection.execute("SELECT notice_message_id FROM recall WHERE id = %s", (view.id,)).fetchone()
        undoing.request(
            connection,
            Requester(firm.postmaster.id, firm.organisation_id, administrator=True),
            view.public_id,
            None,
            now=clock.now(),
        )
    notice_id = row[0]
    # not while it is under way
    purge(process, now=settled_at(databases, view) + WEEK + TICK)
    assert ledger_rows(databases, view) > 7
    dispatch.run(process)
    assert stored(databases, notice_id) == ({notice_id}, {notice_id})

    purge(process, now=settled_at(databases, view) + WEEK + TICK)

    assert ledger_rows(databases, view) == 0
    assert all(correspondence.has_copy(databases, person, message_id) for person in firm.people[1:])
    assert stored(databases, message_id) == ({message_id}, {message_id})
    assert stored(databases, notice_id) == (set(), set())


@pytest.mark.rule(26)
def test_r26_a_legal_hold_keeps_what_concerns_its_account_and_nothing_else(process, databases):
    firm = company.found(databases, people=8)
    held = firm.people[1]
    inbox = Place(held.id, Folder.INBOX)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(process)
    duplicate_id = message_id + 10_000_000
    with databases.shard(held.shard) as connection:
        (copy,) = imap.look(connection, inbox, now=clock.now()).messages
        imap.copy(connection, inbox, [copy.uid], Folder.ARCHIVE, new_ids=[duplicate_id], now=clock.now())
    view = correspondence.recalled(process, sender, message_id)
    forget_reports(databases)
    with databases.control() as connection:
        assert holds.place(connection, held, "case 7", actor=OPERATOR, now=clock.now())
        assert not holds.place(connection, held, "again", actor=OPERATOR, now=clock.now())
    over = settled_at(databases, view) + WEEK + TICK

    purge(process, now=over)
    purge(process, now=over + timedelta(hours=1))

    assert [mailbox for mailbox, _ in correspondence.ledger(databases, view.id).rows] == [held.id]
    with databases.shard(held.shard) as connection:
        kept = connection.execute("SELECT message_id FROM withdrawn_duplicate WHERE recall_id = %s", (view.id,))
        assert kept.fetchall() == [(duplicate_id,)]
        assert connection.execute("SELECT FROM body WHERE id = %s", (message_id,)).fetchone() is not None
    with databases.control() as connection:
        records = trail.page(connection, firm.organisation_id, recall=None, before=trail.NEWEST, limit=9)
        # R23: neither when nor how much was kept for somebody's sake
        purged = [one.record for one in records if one.record.event == "purged"]
        assert [record.details for record in purged] == [{}]
        assert holds.lift(connection, held, actor=OPERATOR, now=over + timedelta(hours=2))

    purge(process, now=over + timedelta(hours=2))

    assert ledger_rows(databases, view) == 0
    assert stored(databases, duplicate_id)[0] == set()
    with databases.shard(held.shard) as connection:
        left = connection.execute("SELECT FROM body WHERE id = %s", (message_id,)).fetchone()
    assert (left is None) is (held.shard != sender.shard)


@pytest.mark.rule(26)
def test_r26_a_hold_waits_for_a_step_of_the_purge_and_is_obeyed_from_then_on(databases):
    firm = company.found(databases, people=1)
    placed = threading.Event()

    def place() -> None:
        with databases.control() as connection:
            holds.place(connection, firm.people[0], "case 8", actor=OPERATOR, now=clock.now())
        placed.set()

    with databases.control() as step:
        assert firm.people[0].id not in control_purging.held(step)
        thread = threading.Thread(target=place)
        thread.start()
        with databases.control() as looker:
            for _ in range(1200):
                waits = looker.execute(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                ).fetchone()
                if waits != (0,):
                    break
                placed.wait(0.05)
        assert waits == (1,)
        assert not placed.is_set()
    thread.join(timeout=60)
    assert placed.is_set()
    with databases.control() as step:
        assert firm.people[0].id in control_purging.held(step)
        holds.lift(step, firm.people[0], actor=OPERATOR, now=clock.now())


@pytest.mark.rule(26)
def test_r26_a_purge_that_dies_goes_on_where_it_was(process, databases, monkeypatch):
    firm = company.found(databases, people=10)
    message_id, view = recalled_mail(process, firm)
    over = settled_at(databases, view) + WEEK + TICK
    monkeypatch.setattr(purging, "_ROWS", 2)

    class DiedError(Exception):
        pass

    class Dying(Databases):
        def shard(self, number):
            self.asked = getattr(self, "asked", 0) + 1
            if self.asked > 2:
                raise DiedError
            return super().shard(number)

    dying = Dying(process.settings, "dying")
    with pytest.raises(DiedError):
        purge(Process(process.settings, dying), now=over)
    dying.close()
    assert 0 < len(correspondence.ledger(databases, view.id).rows) < 9

    # and a bounded run leaves the rest to the next
    monkeypatch.setattr(purging, "_STEPS", 1)
    purge(process, now=over)
    assert ledger_rows(databases, view) > 0
    monkeypatch.setattr(purging, "_STEPS", 200)
    purge(process, now=over)

    assert ledger_rows(databases, view) == 0
    assert stored(databases, message_id)[0] == set()


@contextmanager
def without_shard_1(process):
    class Away(Databases):
        def shard(self, number):
            if number == 1:
                raise psycopg.OperationalError("away")
            return super().shard(number)

    away = Away(process.settings, "away")
    try:
        yield Process(process.settings, away)
    finally:
        away.close()


@pytest.mark.rule(26)
def test_r26_a_shard_that_is_away_is_purged_when_it_is_back(process, databases):
    firm = company.found(databases, people=8)
    _, view = recalled_mail(process, firm)
    over = settled_at(databases, view) + WEEK + TICK

    with without_shard_1(process) as away:
        purge(away, now=over)
    assert {mailbox for mailbox, _ in correspondence.ledger(databases, view.id).rows} == {
        person.id for person in firm.people[1:] if person.shard == 1
    }

    purge(process, now=over + timedelta(seconds=process.settings.purge_every))
    assert ledger_rows(databases, view) == 0


@pytest.mark.rule(26)
def test_r26_those_who_wait_for_a_shard_that_is_away_hold_up_no_others(process, databases, monkeypatch):
    monkeypatch.setattr(purging, "_RECALLS", 1)
    firm = company.found(databases, people=8)
    views = []
    for shard in (1, 0):
        readers = [person for person in firm.people[1:] if person.shard == shard]
        message_id = correspondence.send(databases, firm.people[0], *readers)
        dispatch.run(process)
        views.append(correspondence.recalled(process, firm.people[0], message_id))
        forget_reports(databases)
    waiting, other = views
    over = settled_at(databases, other) + WEEK

    with without_shard_1(process) as away:
        for second in range(1, 4):
            purge(away, now=over + timedelta(seconds=second))

    assert ledger_rows(databases, waiting) > 0
    assert ledger_rows(databases, other) == 0
