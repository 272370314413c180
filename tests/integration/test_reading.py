"""A mailbox on its shard: which uses of it are facts (R2, R4, R5), which are not, and that nobody reaches another's."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import Connection

from mailrecall.domain.copies import Fact, Flag, Folder, author_copy_id
from mailrecall.embedded.deadlines import poll
from mailrecall.mailstore import deposit, reading
from mailrecall.mailstore.batch import Batch
from mailrecall.mailstore.reading import FolderCount, Removal
from mailrecall.mailstore.withdrawal import withdraw
from mailrecall.postgres.databases import Databases

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
CONTENT = b"Subject: Minutes\r\n\r\nGood morning.\r\n"
SHARD = 0
OWNER, OTHER = 11, 12

message_ids = itertools.count(1000, 2)


def listed(attachments: int = 0) -> deposit.ListedMessage:
    return deposit.ListedMessage(
        accepted_at=NOW,
        size=len(CONTENT),
        from_header="Ann <ann@company.example>",
        to_header="staff@company.example",
        subject="Minutes",
        preview="Good morning.",
        attachments=attachments,
    )


def delivered(databases: Databases, *mailboxes: int, attachments: int = 0) -> int:
    """A new message in the inboxes of these mailboxes, by default the owner's and another one's."""
    message_id = next(message_ids)
    ids = mailboxes or (OWNER, OTHER)
    with databases.shard(SHARD) as shard:
        deposit.deposit(shard, message_id, 1, listed(attachments), CONTENT, mailbox_ids=ids, via=[0] * len(ids))
    return message_id


@pytest.fixture
def shard(databases: Databases) -> Iterator[Connection]:
    with databases.shard(SHARD) as connection:
        yield connection


def row(shard: Connection, copy_id: int, mailbox_id: int = OWNER) -> tuple[Fact, Flag, Folder, datetime | None]:
    found = shard.execute(
        "SELECT facts, flags, folder, touched_at FROM copy WHERE mailbox_id = %s AND message_id = %s",
        (mailbox_id, copy_id),
    ).fetchone()
    assert found is not None
    return Fact(found[0]), Flag(found[1]), Folder(found[2]), found[3]


def version(shard: Connection, copy_id: int) -> tuple[str, str]:
    """Where the row lies: another place, or another writer, means that it was written."""
    found = shard.execute(
        "SELECT ctid::text, xmin::text FROM copy WHERE mailbox_id = %s AND message_id = %s", (OWNER, copy_id)
    ).fetchone()
    assert found is not None
    return found


UNTOUCHED = (Fact(0), Flag(0), Folder.INBOX, None)


@pytest.mark.rule(2)
@pytest.mark.parametrize(
    "looking",
    [
        lambda shard, _: reading.list_folder(shard, OWNER, Folder.INBOX, limit=100),
        lambda shard, copy_id: reading.find(shard, OWNER, copy_id),
        lambda shard, _: reading.count_folders(shard, OWNER),
        lambda shard, copy_id: reading.mark_unread(shard, OWNER, copy_id),
        lambda shard, copy_id: reading.move(shard, OWNER, copy_id, Folder.INBOX),
    ],
    ids=["list", "headers and preview", "count", "mark unread", "move"],
)
def test_r2_what_shows_no_text_is_no_read(databases, shard, looking):
    copy_id = delivered(databases)
    looking(shard, copy_id)
    assert row(shard, copy_id) == UNTOUCHED


@pytest.mark.rule(2)
def test_r2_opening_makes_a_copy_read(databases, shard):
    copy_id = delivered(databases)
    shown = reading.open_copy(shard, OWNER, copy_id, now=NOW)
    assert shown is not None
    assert shown.content == CONTENT
    assert not shown.entry.unread
    assert row(shard, copy_id) == (Fact.READ, Flag.SEEN, Folder.INBOX, NOW)
    assert row(shard, copy_id, OTHER) == UNTOUCHED


@pytest.mark.rule(2)
def test_r2_marking_a_read_copy_unread_changes_nothing_of_the_fact(databases, shard):
    copy_id = delivered(databases)
    reading.open_copy(shard, OWNER, copy_id, now=NOW)
    assert reading.mark_unread(shard, OWNER, copy_id)
    assert row(shard, copy_id) == (Fact.READ, Flag(0), Folder.INBOX, NOW)
    entry = reading.find(shard, OWNER, copy_id)
    assert entry is not None
    assert entry.unread


@pytest.mark.rule(2)
def test_r2_marking_a_copy_read_is_a_read(databases, shard):
    copy_id = delivered(databases)
    assert reading.mark_read(shard, OWNER, copy_id, now=NOW)
    assert row(shard, copy_id) == (Fact.READ, Flag.SEEN, Folder.INBOX, NOW)


@pytest.mark.rule(2)
def test_r2_a_copy_that_was_read_is_not_written_again(databases):
    copy_id = delivered(databases)
    with databases.shard(SHARD) as shard:
        reading.open_copy(shard, OWNER, copy_id, now=NOW)
        before = version(shard, copy_id)
    with databases.shard(SHARD) as shard:
        shown = reading.open_copy(shard, OWNER, copy_id, now=LATER)
        assert reading.mark_read(shard, OWNER, copy_id, now=LATER)
        assert reading.download_source(shard, OWNER, copy_id, now=LATER) is not None
        assert version(shard, copy_id) == before
    assert shown is not None
    assert shown.content == CONTENT


@pytest.mark.rule(2)
def test_r2_opening_again_what_was_marked_unread_shows_it_as_seen(databases, shard):
    copy_id = delivered(databases)
    reading.open_copy(shard, OWNER, copy_id, now=NOW)
    reading.mark_unread(shard, OWNER, copy_id)
    shown = reading.open_copy(shard, OWNER, copy_id, now=LATER)
    assert shown is not None
    assert row(shard, copy_id) == (Fact.READ, Flag.SEEN, Folder.INBOX, NOW)


@pytest.mark.rule(4)
def test_r4_a_forward_is_a_fact_and_no_read(databases, shard):
    copy_id = delivered(databases)
    assert reading.record_forward(shard, OWNER, copy_id, now=NOW)
    assert row(shard, copy_id) == (Fact.FORWARDED, Flag(0), Folder.INBOX, NOW)


@pytest.mark.rule(5)
def test_r5_a_download_is_a_fact_and_no_read(databases, shard):
    copy_id = delivered(databases, attachments=1)
    assert reading.record_download(shard, OWNER, copy_id, now=NOW)
    assert row(shard, copy_id) == (Fact.ATTACHMENT_DOWNLOADED, Flag(0), Folder.INBOX, NOW)


@pytest.mark.rule(2, 5)
@pytest.mark.parametrize(("attachments", "facts"), [(0, Fact.READ), (2, Fact.READ | Fact.ATTACHMENT_DOWNLOADED)])
def test_r2_r5_the_source_is_text_and_attachments(databases, shard, attachments, facts):
    copy_id = delivered(databases, attachments=attachments)
    shown = reading.download_source(shard, OWNER, copy_id, now=NOW)
    assert shown is not None
    assert shown.content == CONTENT
    assert row(shard, copy_id)[0] == facts


@pytest.mark.rule(2, 4, 5)
def test_r2_r4_r5_facts_add_up_and_the_first_one_has_the_time(databases, shard):
    copy_id = delivered(databases, attachments=1)
    reading.record_forward(shard, OWNER, copy_id, now=NOW)
    reading.record_download(shard, OWNER, copy_id, now=LATER)
    reading.open_copy(shard, OWNER, copy_id, now=LATER)
    assert row(shard, copy_id) == (
        Fact.FORWARDED | Fact.ATTACHMENT_DOWNLOADED | Fact.READ,
        Flag.SEEN,
        Folder.INBOX,
        NOW,
    )


@pytest.mark.rule(9)
def test_r9_a_deletion_goes_to_the_trash_first_and_then_for_good(databases, shard):
    copy_id = delivered(databases)
    assert reading.delete(shard, OWNER, copy_id, permanent=False, now=NOW) is Removal.TRASHED
    assert row(shard, copy_id) == (Fact(0), Flag(0), Folder.TRASH, None)
    assert reading.delete(shard, OWNER, copy_id, permanent=False, now=NOW) is Removal.FOR_GOOD
    assert row(shard, copy_id) == (Fact.DELETED, Flag(0), Folder.TRASH, NOW)


@pytest.mark.rule(9)
def test_r9_a_copy_deleted_for_good_exists_for_nobody(databases):
    copy_id = delivered(databases)
    with databases.shard(SHARD) as shard:
        assert reading.delete(shard, OWNER, copy_id, permanent=True, now=NOW) is Removal.FOR_GOOD
        before = version(shard, copy_id)
    with databases.shard(SHARD) as shard:
        assert copy_id not in {e.copy_id for e in reading.list_folder(shard, OWNER, Folder.INBOX, limit=100)}
        assert reading.find(shard, OWNER, copy_id) is None
        assert reading.content_of(shard, OWNER, copy_id) is None
        assert reading.open_copy(shard, OWNER, copy_id, now=NOW) is None
        assert reading.download_source(shard, OWNER, copy_id, now=NOW) is None
        assert not reading.record_download(shard, OWNER, copy_id, now=NOW)
        assert not reading.record_forward(shard, OWNER, copy_id, now=NOW)
        assert not reading.mark_read(shard, OWNER, copy_id, now=NOW)
        assert not reading.mark_unread(shard, OWNER, copy_id)
        assert not reading.move(shard, OWNER, copy_id, Folder.ARCHIVE)
        assert reading.delete(shard, OWNER, copy_id, permanent=False, now=NOW) is None
        assert reading.delete(shard, OWNER, copy_id, permanent=True, now=NOW) is None
        assert version(shard, copy_id) == before
        assert row(shard, copy_id, OTHER) == UNTOUCHED


def test_nobody_reaches_a_copy_in_another_mailbox(databases, shard):
    copy_id = delivered(databases, OTHER)
    assert reading.open_copy(shard, OWNER, copy_id, now=NOW) is None
    assert reading.download_source(shard, OWNER, copy_id, now=NOW) is None
    assert reading.content_of(shard, OWNER, copy_id) is None
    assert reading.delete(shard, OWNER, copy_id, permanent=True, now=NOW) is None
    assert not reading.record_download(shard, OWNER, copy_id, now=NOW)
    assert row(shard, copy_id, OTHER) == UNTOUCHED


@pytest.mark.rule(15)
def test_r15_the_authors_own_copy_is_another_than_the_one_they_got(databases, shard):
    message_id = delivered(databases)
    deposit.file_author_copy(shard, message_id, OWNER, listed(), CONTENT)
    own = author_copy_id(message_id)
    shown = reading.open_copy(shard, OWNER, own, now=NOW)
    assert shown is not None
    assert shown.entry.folder is Folder.SENT
    assert shown.content == CONTENT
    assert row(shard, message_id) == UNTOUCHED


def test_a_folder_is_listed_newest_first_in_pages(databases, shard):
    mailbox = 21
    ids = [delivered(databases, mailbox) for _ in range(5)]
    reading.move(shard, mailbox, ids[3], Folder.ARCHIVE)
    first = reading.list_folder(shard, mailbox, Folder.INBOX, limit=2)
    second = reading.list_folder(shard, mailbox, Folder.INBOX, limit=2, before=first[-1].copy_id)
    third = reading.list_folder(shard, mailbox, Folder.INBOX, limit=2, before=second[-1].copy_id)
    assert [entry.copy_id for entry in [*first, *second, *third]] == [ids[4], ids[2], ids[1], ids[0]]
    assert [entry.copy_id for entry in reading.list_folder(shard, mailbox, Folder.ARCHIVE, limit=2)] == [ids[3]]
    entry = first[0]
    assert (entry.subject, entry.preview, entry.size, entry.attachment_count, entry.unread, entry.accepted_at) == (
        "Minutes",
        "Good morning.",
        len(CONTENT),
        0,
        True,
        NOW,
    )


def test_folders_are_counted_with_what_is_unread_and_without_what_is_deleted(databases, shard):
    mailbox = 31
    ids = [delivered(databases, mailbox) for _ in range(4)]
    reading.mark_read(shard, mailbox, ids[0], now=NOW)
    reading.delete(shard, mailbox, ids[1], permanent=False, now=NOW)
    reading.delete(shard, mailbox, ids[2], permanent=True, now=NOW)
    counts = reading.count_folders(shard, mailbox)
    assert counts[Folder.INBOX] == FolderCount(total=2, unread=1)
    assert counts[Folder.TRASH] == FolderCount(total=1, unread=1)
    assert counts[Folder.SENT] == FolderCount(total=0, unread=0)
    assert counts.keys() == set(Folder)


def test_moving_to_where_a_copy_lies_writes_nothing(databases):
    copy_id = delivered(databases)
    with databases.shard(SHARD) as shard:
        before = version(shard, copy_id)
        assert reading.move(shard, OWNER, copy_id, Folder.INBOX)
        assert reading.mark_unread(shard, OWNER, copy_id)
        assert version(shard, copy_id) == before


def waits_for_a_lock(databases: Databases, pid: int) -> bool:
    with databases.shard(SHARD) as shard:
        found = shard.execute("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    return bool(found and found[0])


@pytest.mark.rule(2, 4, 5, 9)
@pytest.mark.parametrize(
    "use",
    [
        lambda shard, copy_id: reading.open_copy(shard, OWNER, copy_id, now=NOW) is not None,
        lambda shard, copy_id: reading.download_source(shard, OWNER, copy_id, now=NOW) is not None,
        lambda shard, copy_id: reading.record_download(shard, OWNER, copy_id, now=NOW),
        lambda shard, copy_id: reading.record_forward(shard, OWNER, copy_id, now=NOW),
        lambda shard, copy_id: reading.mark_read(shard, OWNER, copy_id, now=NOW),
    ],
    ids=["open", "source", "download", "forward", "mark read"],
)
@pytest.mark.parametrize("recall_commits", [True, False], ids=["recalled", "rolled back"])
def test_r2_r4_r5_r9_whoever_comes_during_a_withdrawal_waits_for_its_end(databases, use, recall_commits):
    copy_id = delivered(databases, OWNER)
    started: list[int] = []

    def come() -> bool:
        with databases.shard(SHARD) as shard:
            started.append(shard.info.backend_pid)
            return bool(use(shard, copy_id))

    batch = Batch(recall_id=copy_id, batch=1, message_id=copy_id, first=OWNER, last=OWNER, recipients=1)
    with ThreadPoolExecutor(1) as threads, databases.shard(SHARD) as recalling:
        withdraw(recalling, batch, lambda: pytest.fail("the copy was here"), now=NOW)
        coming = threads.submit(come)
        assert poll(lambda: bool(started) and waits_for_a_lock(databases, started[0]), timeout=60)
        if recall_commits:
            recalling.commit()
        else:
            recalling.rollback()
        assert coming.result(timeout=60) is not recall_commits


@pytest.mark.rule(2)
def test_r2_a_read_that_could_not_be_committed_shows_nothing_and_leaves_no_fact(databases):
    copy_id = delivered(databases)

    def killed() -> reading.Shown | None:
        with databases.shard(SHARD) as shard:
            shown = reading.open_copy(shard, OWNER, copy_id, now=NOW)
            with databases.shard(SHARD) as other:
                other.execute("SELECT pg_terminate_backend(%s)", (shard.info.backend_pid,))
        return shown

    with pytest.raises(psycopg.OperationalError):
        killed()
    with databases.shard(SHARD) as shard:
        assert row(shard, copy_id) == UNTOUCHED
