"""The mail store as IMAP uses it: UIDs, duplicates and the rules that hold for them, notices of changes."""

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from mailrecall.domain.copies import Fact, Flag, Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.mailstore import changes, deposit, duplicates, imap, reading
from mailrecall.mailstore.batch import Batch
from mailrecall.mailstore.changes import Change, Kind
from mailrecall.mailstore.imap import Place
from mailrecall.mailstore.withdrawal import withdraw
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CONTENT = b"Subject: Minutes\r\n\r\nGood morning.\r\n"
SHARD = 0

message_ids = itertools.count(5000, 2)
copy_ids = itertools.count(900_000, 2)
mailboxes = itertools.count(700)
recall_ids = itertools.count(1)


def listed() -> deposit.ListedMessage:
    return deposit.ListedMessage(
        accepted_at=NOW,
        size=len(CONTENT),
        from_header="Ann <ann@company.example>",
        to_header="staff@company.example",
        subject="Minutes",
        preview="Good morning.",
        attachments=0,
    )


@pytest.fixture
def inbox() -> Place:
    return Place(next(mailboxes), Folder.INBOX)


def delivered(databases: Databases, *places: Place) -> int:
    message_id = next(message_ids)
    ids = sorted(place.mailbox_id for place in places)
    with databases.shard(SHARD) as shard:
        deposit.deposit(shard, message_id, 1, listed(), CONTENT, mailbox_ids=ids, via=[0] * len(ids))
    return message_id


def look(databases: Databases, place: Place) -> imap.View:
    with databases.shard(SHARD) as shard:
        return imap.look(shard, place, now=NOW)


def uids(databases: Databases, place: Place) -> list[int]:
    return [held.uid for held in look(databases, place).messages]


def duplicated(databases: Databases, place: Place, uid: int, into: Folder) -> int:
    """Copy a message as IMAP does; the UID of the duplicate."""
    with databases.shard(SHARD) as shard:
        placed = imap.copy(shard, place, [uid], into, new_ids=[next(copy_ids)], now=NOW)
    return placed.uids[0][1]


def recalled(databases: Databases, message_id: int, place: Place) -> Outcome:
    recall_id = next(recall_ids)
    batch = Batch(
        recall_id=recall_id,
        batch=1,
        message_id=message_id,
        first=place.mailbox_id,
        last=place.mailbox_id,
        recipients=1,
    )
    with databases.shard(SHARD) as shard:
        counts = withdraw(shard, batch, lambda: ([place.mailbox_id], [0]), now=NOW)
    ((slug, number),) = counts["0"].items()
    assert number == 1
    return Outcome.from_slug(slug)


def archive(place: Place) -> Place:
    return Place(place.mailbox_id, Folder.ARCHIVE)


def test_uids_are_given_at_the_first_look_and_kept(databases: Databases, inbox: Place):
    first, second = delivered(databases, inbox), delivered(databases, inbox)
    view = look(databases, inbox)
    assert [(held.uid, held.copy_id) for held in view.messages] == [(1, first), (2, second)]
    assert (view.next_uid, view.fresh) == (3, frozenset({1, 2}))
    again = look(databases, inbox)
    assert (again.messages, again.uid_validity, again.fresh) == (view.messages, view.uid_validity, frozenset())


def test_a_uid_is_never_given_twice(databases: Databases, inbox: Place):
    delivered(databases, inbox)
    (copy,) = look(databases, inbox).messages
    with databases.shard(SHARD) as shard:
        reading.delete(shard, inbox.mailbox_id, copy.copy_id, permanent=True, now=NOW)
    assert uids(databases, inbox) == []
    delivered(databases, inbox)
    assert uids(databases, inbox) == [2]


def test_a_copy_moved_by_webmail_is_a_new_message_in_its_folder(databases: Databases, inbox: Place):
    copy_id = delivered(databases, inbox)
    assert uids(databases, inbox) == [1]
    for folder in (Folder.ARCHIVE, Folder.INBOX):
        with databases.shard(SHARD) as shard:
            reading.move(shard, inbox.mailbox_id, copy_id, folder)
    assert uids(databases, inbox) == [2]


def test_sessions_that_look_at_once_agree_on_uids(databases: Databases, inbox: Place):
    for _ in range(40):
        delivered(databases, inbox)
    with ThreadPoolExecutor(4) as pool:
        views = list(pool.map(lambda _: look(databases, inbox).messages, range(12)))
    assert all(view == views[0] for view in views)
    assert [held.uid for held in views[0]] == list(range(1, 41))
    assert [held.copy_id for held in views[0]] == sorted(held.copy_id for held in views[0])


@pytest.mark.rule(2)
def test_r2_setting_seen_is_a_read_and_clearing_it_takes_nothing_back(databases: Databases, inbox: Place):
    message_id = delivered(databases, inbox)
    (uid,) = uids(databases, inbox)
    with databases.shard(SHARD) as shard:
        imap.set_flags(shard, inbox, [uid], cleared=Flag(0), added=Flag.SEEN, now=NOW)
    with databases.shard(SHARD) as shard:
        imap.set_flags(shard, inbox, [uid], cleared=Flag.SEEN, added=Flag(0), now=NOW)
    assert look(databases, inbox).messages[0].flags == Flag(0)
    assert recalled(databases, message_id, inbox) is Outcome.ALREADY_READ


@pytest.mark.rule(2)
def test_r2_other_flags_are_no_read(databases: Databases, inbox: Place):
    message_id = delivered(databases, inbox)
    (uid,) = uids(databases, inbox)
    with databases.shard(SHARD) as shard:
        imap.set_flags(shard, inbox, [uid], cleared=Flag.SEEN, added=Flag.FLAGGED | Flag.DELETED, now=NOW)
    assert recalled(databases, message_id, inbox) is Outcome.RECALLED


@pytest.mark.rule(9)
def test_r9_a_withdrawal_takes_the_duplicates_along(databases: Databases, inbox: Place):
    other = Place(next(mailboxes), Folder.INBOX)
    message_id, kept = delivered(databases, inbox, other), delivered(databases, inbox)
    duplicated(databases, inbox, uids(databases, inbox)[0], Folder.ARCHIVE)
    duplicated(databases, archive(inbox), 1, Folder.JUNK)
    assert recalled(databases, message_id, inbox) is Outcome.RECALLED
    assert uids(databases, archive(inbox)) == []
    assert uids(databases, Place(inbox.mailbox_id, Folder.JUNK)) == []
    assert [held.copy_id for held in look(databases, inbox).messages] == [kept]
    assert uids(databases, other) == [1]


@pytest.mark.rule(2)
@pytest.mark.parametrize("door", ["imap", "webmail"])
def test_r2_reading_a_duplicate_is_reading_the_copy(databases: Databases, inbox: Place, door: str):
    message_id = delivered(databases, inbox)
    uid = duplicated(databases, inbox, uids(databases, inbox)[0], Folder.ARCHIVE)
    (held,) = look(databases, archive(inbox)).messages
    with databases.shard(SHARD) as shard:
        if door == "imap":
            assert imap.record(shard, archive(inbox), [uid], Fact.READ, Flag.SEEN, now=NOW) == {uid}
        else:
            assert reading.open_copy(shard, inbox.mailbox_id, held.copy_id, now=NOW) is not None
    assert recalled(databases, message_id, inbox) is Outcome.ALREADY_READ
    assert uids(databases, archive(inbox)) == [uid]


@pytest.mark.rule(9)
@pytest.mark.parametrize("door", ["imap", "webmail"])
def test_r9_a_copy_lives_while_a_duplicate_does(databases: Databases, inbox: Place, door: str):
    message_id = delivered(databases, inbox)
    uid = duplicated(databases, inbox, uids(databases, inbox)[0], Folder.ARCHIVE)
    with databases.shard(SHARD) as shard:
        if door == "imap":
            imap.set_flags(shard, inbox, [1], cleared=Flag(0), added=Flag.DELETED, now=NOW)
            assert imap.expunge(shard, inbox, [1], now=NOW) == 1
        else:
            reading.delete(shard, inbox.mailbox_id, message_id, permanent=True, now=NOW)
    assert uids(databases, inbox) == []
    # the origin's row now stands where the duplicate was, under its UID
    (heir,) = look(databases, archive(inbox)).messages
    assert (heir.uid, heir.copy_id) == (uid, message_id)
    assert recalled(databases, message_id, inbox) is Outcome.RECALLED
    assert uids(databases, archive(inbox)) == []


@pytest.mark.rule(9)
def test_r9_deleting_both_is_gone(databases: Databases, inbox: Place):
    message_id = delivered(databases, inbox)
    duplicated(databases, inbox, uids(databases, inbox)[0], Folder.ARCHIVE)
    with databases.shard(SHARD) as shard:
        copies = [message_id, *(held.copy_id for held in imap.look(shard, archive(inbox), now=NOW).messages)]
        assert duplicates.delete_for_good(shard, inbox.mailbox_id, copies, now=NOW) == 2
    assert recalled(databases, message_id, inbox) is Outcome.GONE


@pytest.mark.rule(9)
def test_r9_deleting_a_duplicate_changes_nothing_for_the_copy(databases: Databases, inbox: Place):
    message_id = delivered(databases, inbox)
    duplicated(databases, inbox, uids(databases, inbox)[0], Folder.ARCHIVE)
    with databases.shard(SHARD) as shard:
        imap.set_flags(shard, archive(inbox), [1], cleared=Flag(0), added=Flag.DELETED, now=NOW)
        imap.expunge(shard, archive(inbox), [1], now=NOW)
    assert uids(databases, archive(inbox)) == []
    assert uids(databases, inbox) == [1]
    assert recalled(databases, message_id, inbox) is Outcome.RECALLED


@pytest.mark.rule(9)
def test_r9_a_withdrawn_copy_cannot_be_copied(databases: Databases, inbox: Place):
    message_id = delivered(databases, inbox)
    assert uids(databases, inbox) == [1]
    assert recalled(databases, message_id, inbox) is Outcome.RECALLED
    with databases.shard(SHARD) as shard:
        assert imap.copy(shard, inbox, [1], Folder.ARCHIVE, new_ids=[next(copy_ids)], now=NOW).uids == []


@pytest.mark.rule(9)
def test_r9_a_copy_made_while_it_is_withdrawn_goes_with_it_or_never_comes(databases: Databases):
    for _ in range(25):
        place = Place(next(mailboxes), Folder.INBOX)
        message_id = delivered(databases, place)
        assert uids(databases, place) == [1]

        def copy(place: Place = place) -> None:
            with databases.shard(SHARD) as shard:
                imap.copy(shard, place, [1], Folder.ARCHIVE, new_ids=[next(copy_ids)], now=NOW)

        with ThreadPoolExecutor(2) as pool:
            copying = pool.submit(copy)
            withdrawing = pool.submit(recalled, databases, message_id, place)
            copying.result()
            assert withdrawing.result() is Outcome.RECALLED
        assert uids(databases, archive(place)) == []


def test_each_change_is_told_once_however_many_mailboxes_it_touches(databases: Databases, settings: Settings):
    places = [Place(next(mailboxes), Folder.INBOX) for _ in range(50)]
    first, last = places[0].mailbox_id, places[-1].mailbox_id
    with psycopg.connect(settings.shard_urls[SHARD], autocommit=True) as listener:
        listener.execute(f"LISTEN {changes.CHANNEL}")
        message_id = delivered(databases, *places)
        with databases.shard(SHARD) as shard:
            reading.open_copy(shard, first, message_id, now=NOW)
        batch = Batch(recall_id=next(recall_ids), batch=1, message_id=message_id, first=first, last=last, recipients=50)
        with databases.shard(SHARD) as shard:
            withdraw(shard, batch, lambda: ([p.mailbox_id for p in places], [0] * 50), now=NOW)
        told = [Change.parse(notice.payload) for notice in listener.notifies(timeout=60, stop_after=3)]
    assert told == [
        Change(message_id, first, last, Kind.DEPOSITED),
        Change(message_id, first, first, Kind.CHANGED),
        Change(message_id, first, last, Kind.WITHDRAWN),
    ]


@pytest.mark.rule(2, 9)
@pytest.mark.parametrize("read", ["copy", "duplicate"])
def test_r2_r9_a_copy_read_while_it_is_withdrawn_is_read_or_recalled_and_never_both(databases: Databases, read: str):
    won = Counter[Outcome]()
    with ThreadPoolExecutor(2) as pool:
        for number in range(60):
            place = Place(next(mailboxes), Folder.INBOX)
            message_id = delivered(databases, place)
            (uid,) = uids(databases, place)
            seen_in = place
            if read == "duplicate":
                uid, seen_in = duplicated(databases, place, uid, Folder.ARCHIVE), archive(place)

            def look_inside(place: Place = seen_in, uid: int = uid) -> set[int]:
                with databases.shard(SHARD) as shard:
                    return imap.record(shard, place, [uid], Fact.READ, Flag.SEEN, now=NOW)

            # whoever is asked first mostly wins: both have their chance
            if number % 2:
                inside = pool.submit(look_inside)
                withdrawing = pool.submit(recalled, databases, message_id, place)
            else:
                withdrawing = pool.submit(recalled, databases, message_id, place)
                inside = pool.submit(look_inside)
            allowed, outcome = inside.result(), withdrawing.result()
            assert (allowed, outcome) in [({uid}, Outcome.ALREADY_READ), (set(), Outcome.RECALLED)]
            assert uids(databases, seen_in) == sorted(allowed)
            won[outcome] += 1
    assert set(won) == {Outcome.ALREADY_READ, Outcome.RECALLED}
