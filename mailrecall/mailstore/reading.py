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

from mailrecall.domain.copies import PREPARED, Fact, Flag, Folder
from mailrecall.mailstore import changes, duplicates, undecided
from mailrecall.postgres import queries

_SQL = queries.load(
    __package__,
    "reading.sql",
    {"deleted": str(Fact.DELETED.value), "seen": str(Flag.SEEN.value), "prepared": str(PREPARED)},
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
    return [_entry(row) for row in undecided.read(connection, _SQL["list_folder"], parameters)]


def find(connection: Connection[Any], mailbox_id: int, copy_id: int) -> Entry | None:
    """Return a copy as lists show it; not a read."""
    rows = undecided.read(connection, _SQL["find"], _copy(mailbox_id, copy_id))
    return _entry(rows[0]) if rows else None


def count_folders(connection: Connection[Any], mailbox_id: int) -> dict[Folder, FolderCount]:
    """Count a mailbox's copies, in all folders, the empty ones too."""
    rows = undecided.read(
        connection, _SQL["count_folders"], {"mailbox_id": mailbox_id}, marked_in=lambda row: row[3] or ()
    )
    counts = {Folder(folder): FolderCount(total, unread) for folder, total, unread, _ in rows}
    return {folder: counts.get(folder, FolderCount(0, 0)) for folder in Folder}


def content_of(connection: Connection[Any], mailbox_id: int, copy_id: int) -> bytes | None:
    """Return a copy's bytes for this program's own use; whoever shows them records a fact first."""
    rows = undecided.read(connection, _SQL["content"], _copy(mailbox_id, copy_id))
    return bytes(rows[0][2]) if rows else None


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
    return _changed(connection, mailbox_id, copy_id, _SQL["clear_flags"], {"flags": Flag.SEEN})


def move(connection: Connection[Any], mailbox_id: int, copy_id: int, folder: Folder) -> bool:
    """Put a copy into another folder; False when there is no such copy."""
    return _changed(connection, mailbox_id, copy_id, _SQL["move"], {"folder": folder})


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
    folder = _lock(connection, mailbox_id, copy_id, permanent=permanent, now=now)
    if folder is None:
        return None
    if permanent or folder is Folder.TRASH:
        duplicates.delete_for_good(connection, mailbox_id, [copy_id], now=now)
        changes.announce_own(connection, mailbox_id, copy_id)
        return Removal.FOR_GOOD
    move(connection, mailbox_id, copy_id, Folder.TRASH)
    return Removal.TRASHED


def delete_from_trash(connection: Connection[Any], mailbox_id: int, copy_id: int, *, now: datetime) -> bool:
    """Delete a copy for good if it lies in the trash, in the caller's transaction; tells whether it did."""
    if not duplicates.delete_for_good(connection, mailbox_id, [copy_id], folder=Folder.TRASH, now=now):
        return False
    changes.announce_own(connection, mailbox_id, copy_id)
    return True


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
    free: Sequence[int] = ()
    while True:
        duplicates.record_on_origins(connection, mailbox_id, [copy_id], facts, free, now=now)
        if connection.execute(_SQL["record"], {**parameters, "free": list(free)}).rowcount:
            if flags:  # a fact alone shows nowhere
                changes.announce_own(connection, mailbox_id, copy_id)
            return True
        known = _facts(connection, mailbox_id, copy_id)
        if known is None:
            return False
        if known & facts == facts:
            return True
        standing = undecided.changeable(connection, mailbox_id, [copy_id], keeps_at=now)
        if copy_id in standing.gone:
            return False
        free = standing.free


def _changed(
    connection: Connection[Any], mailbox_id: int, copy_id: int, statement: bytes, wanted: dict[str, object]
) -> bool:
    """Make a change that no recall looks at; return whether there is such a copy."""
    free: Sequence[int] = ()
    while True:
        parameters = {**_copy(mailbox_id, copy_id), **wanted, "free": list(free)}
        if connection.execute(statement, parameters).rowcount:
            changes.announce_own(connection, mailbox_id, copy_id)
            return True
        known = _facts(connection, mailbox_id, copy_id)
        if known is None or not known & PREPARED or free:
            return known is not None
        standing = undecided.changeable(connection, mailbox_id, [copy_id])
        if copy_id in standing.gone:
            return False
        free = standing.free


def _lock(
    connection: Connection[Any], mailbox_id: int, copy_id: int, *, permanent: bool, now: datetime
) -> Folder | None:
    """Return the folder of a copy, locked for its deletion; None when there is no such copy."""
    free: Sequence[int] = ()
    while True:
        row = connection.execute(_SQL["lock"], {**_copy(mailbox_id, copy_id), "free": list(free)}).fetchone()
        if row is not None:
            return Folder(row[0])
        entry = find(connection, mailbox_id, copy_id)
        if entry is None:
            return None
        for_good = permanent or entry.folder is Folder.TRASH
        standing = undecided.changeable(connection, mailbox_id, [copy_id], keeps_at=now if for_good else None)
        free = standing.free


def _facts(connection: Connection[Any], mailbox_id: int, copy_id: int) -> int | None:
    row = connection.execute(_SQL["facts"], _copy(mailbox_id, copy_id)).fetchone()
    return row[0] if row else None


def _copy(mailbox_id: int, copy_id: int) -> dict[str, object]:
    return {"mailbox_id": mailbox_id, "copy_id": copy_id}


def _entry(row: TupleRow) -> Entry:
    copy_id, _facts_of, folder, flags, *listed = row
    return Entry(copy_id, Folder(folder), Flag(flags), *listed)
