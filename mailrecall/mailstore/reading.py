"""A mailbox as its owner sees and uses it, on a connection to the mailbox's shard.

Listing, counting and finding leave no trace. What shows content first writes the fact that keeps the copy (R2, R4, R5)
and must not hand the content out before that is committed: a copy that a recall took in between yields None instead.
Every function asks for the mailbox as well as the copy, so that nobody reaches another's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow

from mailrecall.domain.copies import Fact, Flag, Folder
from mailrecall.mailstore import changes, duplicates
from mailrecall.postgres import queries

_SQL = queries.load(
    __package__,
    "reading.sql",
    {"deleted": str(Fact.DELETED.value), "seen": str(Flag.SEEN.value)},
)

HIGHEST_ID = 2**63 - 1
"""The highest id a copy can have."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a folder's list shows of a copy: nothing here is a read (R2)."""

    copy_id: int
    folder: Folder
    flags: Flag
    accepted_at: datetime
    size: int
    """Octets of the content."""
    from_header: str
    to_header: str
    subject: str
    preview: str
    attachment_count: int

    @property
    def unread(self) -> bool:
        """What the mailbox shows; it says nothing about R2, since a copy can be marked unread again."""
        return Flag.SEEN not in self.flags


@dataclass(frozen=True, slots=True)
class FolderCount:
    """How many copies a folder holds."""

    total: int
    unread: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A copy with its content, whose owner has seen it once the transaction that made this commits."""

    entry: Entry
    content: bytes


class Removal(Enum):
    """What a deletion did."""

    TRASHED = "trashed"
    FOR_GOOD = "for_good"


def list_folder(
    connection: Connection[Any], mailbox_id: int, folder: Folder, *, limit: int, before: int | None = None
) -> Sequence[Entry]:
    """Return a folder's copies, newest first.

    Args:
        connection: to the mailbox's shard.
        mailbox_id: whose.
        folder: which.
        limit: how many at most.
        before: the id of the last copy of the page before this one.
    """
    parameters = {"mailbox_id": mailbox_id, "folder": folder, "limit": limit, "before": before or HIGHEST_ID}
    return [_entry(row) for row in connection.execute(_SQL["list_folder"], parameters).fetchall()]


def find(connection: Connection[Any], mailbox_id: int, copy_id: int) -> Entry | None:
    """Return a copy as lists show it; not a read."""
    row = connection.execute(_SQL["find"], _copy(mailbox_id, copy_id)).fetchone()
    return _entry(row) if row else None


def count_folders(connection: Connection[Any], mailbox_id: int) -> dict[Folder, FolderCount]:
    """Count a mailbox's copies, in all folders, the empty ones too."""
    rows = connection.execute(_SQL["count_folders"], {"mailbox_id": mailbox_id}).fetchall()
    counts = {Folder(folder): FolderCount(total, unread) for folder, total, unread in rows}
    return {folder: counts.get(folder, FolderCount(0, 0)) for folder in Folder}


def content_of(connection: Connection[Any], mailbox_id: int, copy_id: int) -> bytes | None:
    """Return a copy's bytes for this program's own use; whoever shows them records a fact first."""
    row = connection.execute(_SQL["content"], _copy(mailbox_id, copy_id)).fetchone()
    return bytes(row[0]) if row else None


def open_copy(connection: Connection[Any], mailbox_id: int, copy_id: int, *, now: datetime) -> Shown | None:
    """R2: open a message. None when there is no such copy, or none any more."""
    return _show(connection, mailbox_id, copy_id, Fact.READ, now=now)


def download_source(connection: Connection[Any], mailbox_id: int, copy_id: int, *, now: datetime) -> Shown | None:
    """R2, R5: take the whole message as it came in; with attachments, they are downloaded too."""
    entry = find(connection, mailbox_id, copy_id)
    if entry is None:
        return None
    facts = Fact.READ | (Fact.ATTACHMENT_DOWNLOADED if entry.attachment_count else Fact(0))
    return _show(connection, mailbox_id, copy_id, facts, now=now)


def record_download(connection: Connection[Any], mailbox_id: int, copy_id: int, *, now: datetime) -> bool:
    """R5: record that an attachment is about to be handed out; it is not a read of the text.

    Returns:
        False when the copy is gone: then nothing may be handed out.
    """
    return _record(connection, mailbox_id, copy_id, Fact.ATTACHMENT_DOWNLOADED, Flag(0), now=now)


def record_forward(connection: Connection[Any], mailbox_id: int, copy_id: int, *, now: datetime) -> bool:
    """R4: record that the copy is about to be forwarded; commit this before the forward is accepted.

    A crash in between leaves a copy that stays for nothing, never one withdrawn after its content went on.

    Returns:
        False when the copy is gone: then it cannot be forwarded.
    """
    return _record(connection, mailbox_id, copy_id, Fact.FORWARDED, Flag(0), now=now)


def record_fetch(connection: Connection[Any], mailbox_id: int, copy_id: int, *, now: datetime) -> bool:
    """R7: record that POP3 is about to hand out the copy's text; it is not a read, and no flag shows it.

    Returns:
        False when the copy is gone: then nothing may be handed out.
    """
    return _record(connection, mailbox_id, copy_id, Fact.FETCHED_BY_POP3, Flag(0), now=now)


def mark_read(connection: Connection[Any], mailbox_id: int, copy_id: int, *, now: datetime) -> bool:
    """R2: mark a copy read, which is a read for good; False when there is no such copy."""
    return _record(connection, mailbox_id, copy_id, Fact.READ, Flag.SEEN, now=now)


def mark_unread(connection: Connection[Any], mailbox_id: int, copy_id: int) -> bool:
    """Show a copy as unread again; by R2 it stays read. False when there is no such copy."""
    updated = connection.execute(_SQL["clear_flags"], {**_copy(mailbox_id, copy_id), "flags": Flag.SEEN})
    return _announced(connection, mailbox_id, copy_id, updated.rowcount)


def move(connection: Connection[Any], mailbox_id: int, copy_id: int, folder: Folder) -> bool:
    """Put a copy into another folder; False when there is no such copy."""
    updated = connection.execute(_SQL["move"], {**_copy(mailbox_id, copy_id), "folder": folder})
    return _announced(connection, mailbox_id, copy_id, updated.rowcount)


def delete(
    connection: Connection[Any], mailbox_id: int, copy_id: int, *, permanent: bool, now: datetime
) -> Removal | None:
    """Delete a copy: first into the trash, out of the trash for good.

    Args:
        connection: to the mailbox's shard.
        mailbox_id: whose.
        copy_id: which.
        permanent: for good wherever it lies.
        now: the present moment.

    Returns:
        what was done; None when there is no such copy.
    """
    row = connection.execute(_SQL["lock"], _copy(mailbox_id, copy_id)).fetchone()
    if row is None:
        return None
    if permanent or row[0] == Folder.TRASH:
        duplicates.delete_for_good(connection, mailbox_id, [copy_id], now=now)
        changes.announce_own(connection, mailbox_id, copy_id)
        return Removal.FOR_GOOD
    move(connection, mailbox_id, copy_id, Folder.TRASH)
    return Removal.TRASHED


def _show(connection: Connection[Any], mailbox_id: int, copy_id: int, facts: Fact, *, now: datetime) -> Shown | None:
    if not _record(connection, mailbox_id, copy_id, facts, Flag.SEEN, now=now):
        return None
    entry = find(connection, mailbox_id, copy_id)
    content = content_of(connection, mailbox_id, copy_id)
    # None only where the owner deleted the copy between two of these statements
    return Shown(entry, content) if entry is not None and content is not None else None


def _record(
    connection: Connection[Any], mailbox_id: int, copy_id: int, facts: Fact, flags: Flag, *, now: datetime
) -> bool:
    parameters = {**_copy(mailbox_id, copy_id), "facts": facts, "flags": flags, "now": now}
    duplicates.record_on_origins(connection, mailbox_id, [copy_id], facts, now=now)
    if connection.execute(_SQL["record"], parameters).rowcount:
        if flags:  # a fact alone shows nowhere
            changes.announce_own(connection, mailbox_id, copy_id)
        return True
    row = connection.execute(_SQL["is_recorded"], parameters).fetchone()
    return bool(row and row[0])


def _announced(connection: Connection[Any], mailbox_id: int, copy_id: int, changed: int) -> bool:
    if changed:
        changes.announce_own(connection, mailbox_id, copy_id)
    return bool(changed) or find(connection, mailbox_id, copy_id) is not None


def _copy(mailbox_id: int, copy_id: int) -> dict[str, object]:
    return {"mailbox_id": mailbox_id, "copy_id": copy_id}


def _entry(row: TupleRow) -> Entry:
    copy_id, folder, flags, *listed = row
    return Entry(copy_id, Folder(folder), Flag(flags), *listed)
