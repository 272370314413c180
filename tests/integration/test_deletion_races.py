"""What is deleted for good while its owner, elsewhere, keeps it: decided by how the copy is when it is deleted."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg import Connection

from mailrecall.domain.copies import Flag, Folder
from mailrecall.mailstore import deposit, imap, pop3, reading
from mailrecall.mailstore.imap import Place
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests.locks import until_somebody_waits_for_a_lock

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CONTENT = b"Subject: Minutes\r\n\r\nGood morning.\r\n"
SHARD = 0
UID = 1

mailboxes = itertools.count(41_000)
message_ids = itertools.count(410_000, 2)
copy_ids = itertools.count(41_000_000, 2)

Rescue = Callable[[Connection[Any], Place, int], object]


def unflag(shard: Connection[Any], place: Place, _: int) -> None:
    imap.set_flags(shard, place, [UID], cleared=Flag.DELETED, added=Flag(0), now=NOW)


def move_in_webmail(shard: Connection[Any], place: Place, copy_id: int) -> None:
    assert reading.move(shard, place.mailbox_id, copy_id, Folder.ARCHIVE)


def move_by_imap(shard: Connection[Any], place: Place, _: int) -> None:
    assert imap.move(shard, place, [UID], Folder.ARCHIVE, now=NOW).uids


def copy_and_expunge(shard: Connection[Any], place: Place, _: int) -> None:
    """As clients move that do not know MOVE: the copy's row then stands where its duplicate was."""
    assert imap.copy(shard, place, [UID], Folder.ARCHIVE, new_ids=[next(copy_ids)], now=NOW).uids
    imap.set_flags(shard, place, [UID], cleared=Flag(0), added=Flag.DELETED, now=NOW)
    assert imap.expunge(shard, place, [UID], now=NOW) == 1


def expunge(databases: Databases, place: Place, _: int) -> int:
    with databases.shard(SHARD) as shard:
        return imap.expunge(shard, place, [UID], now=NOW)


def quit_pop3(databases: Databases, place: Place, copy_id: int) -> int:
    with databases.shard(SHARD) as shard:
        return pop3.delete(shard, place.mailbox_id, [copy_id], now=NOW)


def delivered(databases: Databases, folder: Folder, flags: Flag) -> tuple[Place, int]:
    """Put a message into a folder, under the UID 1."""
    place, message_id = Place(next(mailboxes), folder), next(message_ids)
    listed = deposit.ListedMessage(
        accepted_at=NOW, size=len(CONTENT), from_header="", to_header="", subject="", preview="", attachments=0
    )
    with databases.shard(SHARD) as shard:
        deposit.deposit(shard, message_id, 1, listed, CONTENT, mailbox_ids=[place.mailbox_id], via=[0])
        reading.move(shard, place.mailbox_id, message_id, folder)
        assert [held.uid for held in imap.look(shard, place, now=NOW).messages] == [UID]
        imap.set_flags(shard, place, [UID], cleared=Flag(0), added=flags, now=NOW)
    return place, message_id


def left(databases: Databases, place: Place) -> dict[Folder, int]:
    """How many messages each folder holds that holds any."""
    with databases.shard(SHARD) as shard:
        counts = reading.count_folders(shard, place.mailbox_id)
    return {folder: count.total for folder, count in counts.items() if count.total}


@pytest.mark.parametrize(
    ("deletion", "rescue", "between"),
    [
        (expunge, unflag, (Folder.TRASH, Folder.TRASH)),
        (expunge, move_in_webmail, (Folder.TRASH, Folder.ARCHIVE)),
        (expunge, move_by_imap, (Folder.TRASH, Folder.ARCHIVE)),
        (expunge, copy_and_expunge, (Folder.TRASH, Folder.ARCHIVE)),
        (quit_pop3, move_in_webmail, (Folder.INBOX, Folder.ARCHIVE)),
        (quit_pop3, move_by_imap, (Folder.INBOX, Folder.ARCHIVE)),
        (quit_pop3, copy_and_expunge, (Folder.INBOX, Folder.ARCHIVE)),
    ],
)
def test_what_another_session_rescues_meanwhile_stays(
    deletion: Callable[[Databases, Place, int], int],
    rescue: Rescue,
    between: tuple[Folder, Folder],
    databases: Databases,
    settings: Settings,
):
    lay_in, lies_in = between
    place, copy_id = delivered(databases, lay_in, Flag.DELETED)
    with ThreadPoolExecutor(1) as pool:
        with databases.shard(SHARD) as shard:
            rescue(shard, place, copy_id)
            deleting = pool.submit(deletion, databases, place, copy_id)
            until_somebody_waits_for_a_lock(settings, shard=SHARD, unless=deleting.done)
        assert deleting.result() == 0
    assert left(databases, place) == {lies_in: 1}


def test_what_left_the_inbox_during_a_pop3_session_is_not_deleted_at_its_end(databases: Databases):
    place, copy_id = delivered(databases, Folder.INBOX, Flag(0))
    with databases.shard(SHARD) as shard:
        assert [listed.copy_id for listed in pop3.maildrop(shard, place.mailbox_id)] == [copy_id]
    with databases.shard(SHARD) as shard:
        move_in_webmail(shard, place, copy_id)
    assert quit_pop3(databases, place, copy_id) == 0
    assert left(databases, place) == {Folder.ARCHIVE: 1}


def test_a_rescue_that_comes_too_late_finds_nothing(databases: Databases, settings: Settings):
    place, copy_id = delivered(databases, Folder.TRASH, Flag.DELETED)

    def rescue() -> bool:
        with databases.shard(SHARD) as shard:
            return reading.move(shard, place.mailbox_id, copy_id, Folder.INBOX)

    with ThreadPoolExecutor(1) as pool:
        with databases.shard(SHARD) as shard:
            assert imap.expunge(shard, place, [UID], now=NOW) == 1
            rescuing = pool.submit(rescue)
            until_somebody_waits_for_a_lock(settings, shard=SHARD, unless=rescuing.done)
        assert not rescuing.result()
    assert left(databases, place) == {}
