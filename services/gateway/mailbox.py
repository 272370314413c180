"""A mailbox as its owner uses it over HTTP. What shows content returns once its fact is committed (R2, R5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Folder, author_copy_id, is_author_copy
from mailrecall.mailstore import drafts, reading, residence
from mailrecall.mailstore.reading import Entry, FolderCount, Removal, Shown
from mailrecall.mime import parts
from mailrecall.mime.parts import Attachment, Readable
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import views
from mailrecall.recalls.views import RecallMark
from services.gateway.problems import Code, FieldError, Problem, not_found

_RECEIVED_GOES_TO = {Folder.INBOX, Folder.TRASH, Folder.JUNK, Folder.ARCHIVE}
_AUTHORED_GOES_TO = {Folder.SENT, Folder.TRASH, Folder.ARCHIVE}
_DRAFT_GOES_TO = {Folder.DRAFTS, Folder.TRASH}


@dataclass(frozen=True, slots=True)
class Listed:
    """A copy in a list; `recall` is there on the author's own copy of a recalled message only (R15, R17)."""

    entry: Entry
    recall: RecallMark | None


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a folder, newest first; `next_cursor` leads to the next part, if there is one."""

    messages: Sequence[Listed]
    next_cursor: int | None


@dataclass(frozen=True, slots=True)
class Opened:
    """A message that its owner opened."""

    entry: Entry
    recall: RecallMark | None
    readable: Readable
    attachments: Sequence[Attachment]


def folders(databases: Databases, owner: Account) -> dict[Folder, FolderCount]:
    """Count what lies in each folder."""
    with residence.mailbox(databases, owner) as shard:
        return reading.count_folders(shard, owner.id)


def page(databases: Databases, owner: Account, folder: Folder, *, limit: int, cursor: int | None) -> Page:
    """List part of a folder; nothing of this is a read (R2)."""
    with residence.mailbox(databases, owner) as shard:
        # one more than was asked for tells whether there is a next page
        entries = reading.list_folder(shard, owner.id, folder, limit=limit + 1, before=cursor)
    shown = entries[:limit]
    marks = _marks(databases, shown)
    return Page(
        [Listed(entry, marks.get(entry.copy_id)) for entry in shown],
        shown[-1].copy_id if len(entries) > limit else None,
    )


def look(databases: Databases, owner: Account, copy_id: int) -> Listed:
    """Return a message as lists show it, without reading it.

    Raises:
        Problem: there is no such message in this mailbox.
    """
    with residence.mailbox(databases, owner) as shard:
        entry = reading.find(shard, owner.id, copy_id)
    if entry is None:
        raise not_found("message")
    return Listed(entry, _mark(databases, entry))


def open_message(databases: Databases, owner: Account, copy_id: int, *, now: datetime) -> Opened:
    """R2: read a message.

    Raises:
        Problem: there is no such message in this mailbox, or a recall was faster.
    """
    with residence.mailbox(databases, owner) as shard:
        shown = reading.open_copy(shard, owner.id, copy_id, now=now)
    if shown is None:
        raise not_found("message")
    return Opened(
        shown.entry,
        _mark(databases, shown.entry),
        parts.readable(shown.content),
        parts.attachments(shown.content),
    )


def content(databases: Databases, owner: Account, copy_id: int, *, now: datetime) -> bytes:
    """R2: read a message once more, whole, to show what its HTML refers to.

    Raises:
        Problem: there is no such message in this mailbox, or a recall was faster.
    """
    with residence.mailbox(databases, owner) as shard:
        shown = reading.open_copy(shard, owner.id, copy_id, now=now)
    if shown is None:
        raise not_found("message")
    return shown.content


def source(databases: Databases, owner: Account, copy_id: int, *, now: datetime) -> Shown:
    """R2, R5: take the whole message as it came in.

    Raises:
        Problem: there is no such message in this mailbox, or a recall was faster.
    """
    with residence.mailbox(databases, owner) as shard:
        shown = reading.download_source(shard, owner.id, copy_id, now=now)
    if shown is None:
        raise not_found("message")
    return shown


def attachment(
    databases: Databases, owner: Account, copy_id: int, index: int, *, now: datetime
) -> tuple[Attachment, bytes]:
    """R5: download an attachment.

    Raises:
        Problem: there is no such message or attachment in this mailbox, or a recall was faster.
    """
    with residence.mailbox(databases, owner) as shard:
        content = reading.content_of(shard, owner.id, copy_id)
    if content is None:
        raise not_found("message")
    # taken apart between the two transactions: a number that leads to nothing must not count as a download
    try:
        found = parts.attachment_content(content, index)
    except LookupError:
        raise not_found("attachment") from None
    with residence.mailbox(databases, owner) as shard:
        recorded = reading.record_download(shard, owner.id, copy_id, now=now)
    if not recorded:
        raise not_found("message")
    return found


def change(
    databases: Databases, owner: Account, copy_id: int, *, unread: bool | None, folder: Folder | None, now: datetime
) -> Listed:
    """Mark a message (un)read, put it into another folder, or both at once.

    Raises:
        Problem: there is no such message in this mailbox, or it does not belong into that folder.
    """
    with residence.mailbox(databases, owner) as shard:
        if folder is not None:
            _refuse_folder(copy_id, folder, is_draft=drafts.exists(shard, owner.id, copy_id))
        if unread is True:
            reading.mark_unread(shard, owner.id, copy_id)
        elif unread is False:
            reading.mark_read(shard, owner.id, copy_id, now=now)
        if folder is not None:
            reading.move(shard, owner.id, copy_id, folder)
    return look(databases, owner, copy_id)


def put_into_trash(databases: Databases, owner: Account, copy_id: int) -> None:
    """Put a message into the trash, and leave it there if that is where it lies.

    Raises:
        Problem: there is no such message in this mailbox.
    """
    with residence.mailbox(databases, owner) as shard:
        found = reading.move(shard, owner.id, copy_id, Folder.TRASH)
    if not found:
        raise not_found("message")


def delete_from_trash(databases: Databases, owner: Account, copy_id: int, *, now: datetime) -> None:
    """Delete a message for good that still lies in the trash.

    Raises:
        Problem: there is no such message there.
    """
    with residence.mailbox(databases, owner) as shard:
        found = reading.delete_from_trash(shard, owner.id, copy_id, now=now)
    if not found:
        raise not_found("message")


def delete(databases: Databases, owner: Account, copy_id: int, *, permanent: bool, now: datetime) -> Removal:
    """Put a message into the trash, or delete it for good when it lies there or `permanent` asks for it.

    Raises:
        Problem: there is no such message in this mailbox.
    """
    with residence.mailbox(databases, owner) as shard:
        removal = reading.delete(shard, owner.id, copy_id, permanent=permanent, now=now)
    if removal is None:
        raise not_found("message")
    return removal


def destinations(copy_id: int) -> list[Folder]:
    """Return the folders that a message, not a draft, can be put into, in their order."""
    return sorted(_AUTHORED_GOES_TO if is_author_copy(copy_id) else _RECEIVED_GOES_TO)


def _refuse_folder(copy_id: int, folder: Folder, *, is_draft: bool) -> None:
    # R15: the Sent folder shows what one wrote, and what became of it; nothing else may pass for that
    if is_draft:
        allowed, what = _DRAFT_GOES_TO, "A draft"
    elif is_author_copy(copy_id):
        allowed, what = _AUTHORED_GOES_TO, "A message that was sent"
    else:
        allowed, what = _RECEIVED_GOES_TO, "A message that was received"
    if folder not in allowed:
        detail = f"{what} can go to {', '.join(sorted(choice.slug for choice in allowed))}."
        raise Problem(Code.INVALID, detail, [FieldError("#/folder", detail)])


def _mark(databases: Databases, entry: Entry) -> RecallMark | None:
    return _marks(databases, [entry]).get(entry.copy_id)


def _marks(databases: Databases, entries: Sequence[Entry]) -> dict[int, RecallMark]:
    """R15: the marks of the author's own copies, by copy; a recipient's copy never has one (R17)."""
    written = [entry.copy_id for entry in entries if is_author_copy(entry.copy_id)]
    if not written:
        return {}
    with databases.control() as control:
        marks = views.of_messages(control, written)
    return {author_copy_id(message_id): mark for message_id, mark in marks.items()}
