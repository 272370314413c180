"""R13, all or nothing: whoever meets a copy that waits for the decision, by whichever way, on real databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailrecall import clock
from mailrecall.directory.accounts import close_account
from mailrecall.domain.addresses import Address
from mailrecall.domain.copies import Fact, Flag, Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Verdict
from mailrecall.mailstore import imap, pop3, reading, undecided
from mailrecall.mailstore.imap import Place
from mailrecall.messages import ids
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests.undertaking import Undertaking

INBOX = Folder.INBOX


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


@pytest.mark.rule(13, 2)
def test_r13_an_undecided_copy_is_listed_everywhere_and_gone_everywhere_with_the_decision(undertaking):
    undertaking.prepare(all_but=1)
    prepared = undertaking.marked()
    assert prepared
    assert all(undertaking.shown(person) for person in undertaking.others)
    assert len(views_of(undertaking, undertaking.others)) == len(undertaking.others) * len(WAYS)

    undertaking.decide(Verdict.COMMIT)

    # no shard has done anything yet
    assert undertaking.marked() == prepared
    held = [person for person in undertaking.others if person.id in prepared]
    assert views_of(undertaking, held) == []
    for person in held:
        assert not any(tried(undertaking, person, way) for way in KEEPING.values()), person
    assert undertaking.marked() == prepared


WAYS = {
    "find": lambda c, who, m: reading.find(c, who.id, m) is not None,
    "list": lambda c, who, m: m in [e.copy_id for e in reading.list_folder(c, who.id, INBOX, limit=1)],
    "count": lambda c, who, _: reading.count_folders(c, who.id)[INBOX].total == 1,
    "content": lambda c, who, m: reading.content_of(c, who.id, m) is not None,
    "imap": lambda c, who, m: m in [h.copy_id for h in imap.look(c, Place(who.id, INBOX), now=clock.now()).messages],
    "imap content": lambda c, who, _: imap.content(c, Place(who.id, INBOX), 1) is not None,
    "imap heads": lambda c, who, _: 1 in imap.heads(c, Place(who.id, INBOX), [1], 10),
    "pop3": lambda c, who, m: m in [listed.copy_id for listed in pop3.maildrop(c, who.id)],
    "unread": lambda c, who, m: reading.mark_unread(c, who.id, m),
    "move": lambda c, who, m: reading.move(c, who.id, m, INBOX),
}
KEEPING = {
    "open": lambda c, who, m: reading.open_copy(c, who.id, m, now=clock.now()) is not None,
    "source": lambda c, who, m: reading.download_source(c, who.id, m, now=clock.now()) is not None,
    "attachment": lambda c, who, m: reading.record_download(c, who.id, m, now=clock.now()),
    "forward": lambda c, who, m: reading.record_forward(c, who.id, m, now=clock.now()),
    "mark read": lambda c, who, m: reading.mark_read(c, who.id, m, now=clock.now()),
    "pop3": lambda c, who, m: pop3.fetch(c, who.id, m, now=clock.now()) is not None,
    "imap": lambda c, who, _: 1 in imap.record(c, Place(who.id, INBOX), [1], Fact.READ, Flag(0), now=clock.now()),
    "delete": lambda c, who, m: reading.delete(c, who.id, m, permanent=True, now=clock.now()) is not None,
    "pop3 delete": lambda c, who, m: pop3.delete(c, who.id, [m], now=clock.now()) == 1,
}


def tried(undertaking, person, way):
    with undertaking.databases.shard(person.shard) as connection:
        return way(connection, person, undertaking.message_id)


def views_of(undertaking, people):
    """Who sees the message, in which way."""
    found = []
    for person in people:
        with undertaking.databases.shard(person.shard) as connection:
            imap.look(connection, Place(person.id, INBOX), now=clock.now())
        found += [(person.id, name) for name, way in WAYS.items() if tried(undertaking, person, way)]
    return found


@pytest.mark.rule(13, 2, 4, 5, 7, 9)
@pytest.mark.parametrize("way", KEEPING)
def test_r13_who_opens_an_undecided_copy_waits_a_moment_and_then_everything_stays(undertaking, way):
    undertaking.prepare(all_but=1)
    reader = next(person for person in undertaking.others if person.id in undertaking.marked())
    with undertaking.databases.shard(reader.shard) as connection:
        imap.look(connection, Place(reader.id, INBOX), now=clock.now())
    with undertaking.databases.shard(reader.shard) as connection:
        assert KEEPING[way](connection, reader, undertaking.message_id)

    assert undertaking.verdict() is Verdict.RELEASE
    view = undertaking.finish()
    assert view.tally.total == 5
    assert view.tally[Outcome.VETOED] == 4
    assert undertaking.outcomes.of(reader) in set(Outcome) - {Outcome.VETOED, Outcome.RECALLED, Outcome.UNREACHABLE}
    assert undertaking.marked() == set()


@pytest.mark.rule(13)
def test_r13_a_reader_who_waits_hears_the_decision(undertaking, process):
    patient = Databases(undertaking.databases.settings.model_copy(update={"decision_wait": 60}), "patient")
    undertaking.prepare(all_but=1)
    reader = next(person for person in undertaking.others if person.id in undertaking.marked())

    def read():
        with patient.shard(reader.shard) as connection:
            return reading.open_copy(connection, reader.id, undertaking.message_id, now=clock.now())

    with ThreadPoolExecutor(1) as threads:
        reading_now = threads.submit(read)
        undertaking.finish()
        assert reading_now.result(60) is None
    patient.close()
    assert undertaking.view.tally.as_slugs() == {"recalled": 5}


@pytest.mark.rule(13)
def test_r13_a_duplicate_of_an_undecided_copy_shares_its_fate(undertaking):
    reader = undertaking.others[0]

    def duplicate():
        with undertaking.databases.control() as connection:
            (new_id,) = ids.unused_ids(connection, 1)
        with undertaking.databases.shard(reader.shard) as connection:
            imap.look(connection, Place(reader.id, INBOX), now=clock.now())
        with undertaking.databases.shard(reader.shard) as connection:
            place = Place(reader.id, INBOX)
            placed = imap.copy(connection, place, [1], Folder.ARCHIVE, new_ids=[new_id], now=clock.now())
        assert len(placed.uids) == 1
        return new_id

    before = duplicate()
    undertaking.prepare(all_but=1)
    assert reader.id in undertaking.marked()
    copies = [before, duplicate()]
    undertaking.decide(Verdict.COMMIT)

    with undertaking.databases.shard(reader.shard) as connection:
        assert [reading.find(connection, reader.id, copy_id) for copy_id in copies] == [None, None]
        assert reading.list_folder(connection, reader.id, Folder.ARCHIVE, limit=9) == []
        assert reading.open_copy(connection, reader.id, copies[0], now=clock.now()) is None


@pytest.mark.rule(13)
def test_r13_a_duplicate_that_is_opened_keeps_everything(undertaking):
    reader = undertaking.others[0]
    with undertaking.databases.control() as connection:
        (new_id,) = ids.unused_ids(connection, 1)
    with undertaking.databases.shard(reader.shard) as connection:
        imap.look(connection, Place(reader.id, INBOX), now=clock.now())
        imap.copy(connection, Place(reader.id, INBOX), [1], Folder.ARCHIVE, new_ids=[new_id], now=clock.now())
    undertaking.prepare(all_but=1)
    with undertaking.databases.shard(reader.shard) as connection:
        assert reading.open_copy(connection, reader.id, new_id, now=clock.now()) is not None

    view = undertaking.finish()
    assert view.tally.as_slugs() == {"already_read": 1, "vetoed": 4}
    with undertaking.databases.shard(reader.shard) as connection:
        marks = connection.execute("SELECT facts FROM copy WHERE mailbox_id = %s", (reader.id,)).fetchall()
    assert marks == [(Fact.READ.value,)] * 2


@pytest.mark.rule(13)
def test_r13_closing_a_mailbox_decides_first(undertaking):
    undertaking.prepare(all_but=1)
    leaver = next(person for person in undertaking.others if person.id in undertaking.marked())

    close_account(undertaking.databases, Address.parse(leaver.address), now=clock.now())

    assert undertaking.verdict() is Verdict.RELEASE
    assert undertaking.finish().tally.as_slugs() == {"gone": 1, "vetoed": 4}


@pytest.mark.rule(13)
def test_r13_who_rescues_an_undecided_copy_from_an_expunge_that_waits_keeps_it(undertaking, monkeypatch):
    undertaking.prepare(all_but=1)
    reader = next(person for person in undertaking.others if person.id in undertaking.marked())
    inbox = Place(reader.id, INBOX)
    decided = undecided._decided

    def flag(*, cleared: Flag, added: Flag) -> None:
        with undertaking.databases.shard(reader.shard) as connection:
            imap.look(connection, inbox, now=clock.now())
            imap.set_flags(connection, inbox, [1], cleared=cleared, added=added, now=clock.now())

    def rescued_meanwhile(*waiting, **until):
        flag(cleared=Flag.DELETED, added=Flag(0))
        return decided(*waiting, **until)

    flag(cleared=Flag(0), added=Flag.DELETED)
    monkeypatch.setattr(undecided, "_decided", rescued_meanwhile)
    with undertaking.databases.shard(reader.shard) as connection:
        assert imap.expunge(connection, inbox, [1], now=clock.now()) == 0
    assert undertaking.shown(reader)
