"""Putting copies into a shard's mailboxes: a batch at a time, in one transaction, the content once per shard."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.domain.copies import Flag, Folder, author_copy_id
from mailrecall.mailstore import residence
from mailrecall.mailstore.changes import Change, Kind, announce, announce_own
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "deposit.sql")

_WORTH_A_COPY = 100
"""Recipients from which on COPY is faster than an INSERT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedMessage:
    """What a mailbox lists of a message: kept once per message and shard."""

    accepted_at: datetime
    size: int
    from_header: str
    to_header: str
    subject: str
    preview: str
    attachments: int


def needs_content(connection: Connection[Any], message_id: int) -> bool:
    """Tell whether the shard has not got the message's bytes yet, so that they travel there once."""
    row = connection.execute(_SQL["has_body"], {"body_id": message_id}).fetchone()
    return not (row and row[0])


def deposit(
    connection: Connection[Any],
    message_id: int,
    batch: int,
    listed: ListedMessage,
    content: bytes | None,
    *,
    mailbox_ids: Sequence[int],
    via: Sequence[int],
    recall_id: int | None = None,
    released: bool = False,
) -> bool:
    """Deposit one delivery batch into the inboxes of a shard, in the caller's transaction.

    Args:
        connection: to the shard.
        message_id: the message.
        batch: the delivery batch's number.
        listed: what the mailboxes will list.
        content: the bytes; None when the shard has them.
        mailbox_ids: who gets a copy, ascending; after a recall only those out of its scope.
        via: for each, the addressee that led there (0: named directly).
        recall_id: the recall that was accepted before the deposit (R16).
        released: R13: whether that recall was decided to leave everything as it is.

    Returns:
        False when the batch was deposited, or withdrawn, before.

    Raises:
        MailboxMovedError: a recipient's mailbox has left this shard.
    """
    keys = {"message_id": message_id, "batch": batch, "recall_id": recall_id}
    recipients = {"folder": Folder.INBOX, "flags": 0, "mailbox_ids": list(mailbox_ids), "via": list(via)}
    residence.enter_batches(connection, message_id)
    residence.require_present(connection, mailbox_ids)
    claimed = bool(connection.execute(_SQL["claim_back" if released else "claim"], keys).rowcount)
    if released:
        recall_id = None
    if not claimed and recall_id is None:
        return False
    # after a recall the content is stored all the same: what was recalled can be restored (R26)
    store(connection, message_id, message_id, listed, content)
    if mailbox_ids:
        if recall_id is None and len(mailbox_ids) > _WORTH_A_COPY:
            _copy_in(connection, message_id, mailbox_ids, via)
        else:
            insert = "insert_copies" if recall_id is None else "insert_copies_left_alone"
            connection.execute(_SQL[insert], {**keys, **recipients})
        announce(connection, Change(message_id, mailbox_ids[0], mailbox_ids[-1], Kind.DEPOSITED))
    return claimed


def _copy_in(connection: Connection[Any], message_id: int, mailbox_ids: Sequence[int], via: Sequence[int]) -> None:
    """Write many rows at once: PostgreSQL fills whole pages, and logs them as such."""

    def end_of_row(came_by: int) -> str:
        return f"\t{Folder.INBOX:d}\t{came_by}\t{message_id}\t0\n"

    first = via[0]
    if via.count(first) == len(via):
        # everybody by the same addressee, as in mail to one group: no work here for each row
        end = end_of_row(first)
        rows = end.join(map(str, mailbox_ids)) + end
    else:
        rows = "".join(f"{mailbox_id}{end_of_row(by)}" for mailbox_id, by in zip(mailbox_ids, via, strict=True))
    with connection.cursor() as cursor, cursor.copy(_SQL["copy_copies"]) as copy:
        copy.write(rows)


def file_author_copy(
    connection: Connection[Any], message_id: int, mailbox_id: int, listed: ListedMessage, content: bytes | None
) -> None:
    """Put the author's own copy into their Sent folder (R15); a second time changes nothing."""
    copy_id = author_copy_id(message_id)
    store(connection, copy_id, message_id, listed, content)
    connection.execute(
        _SQL["insert_author_copy"],
        {"copy_id": copy_id, "mailbox_id": mailbox_id, "folder": Folder.SENT, "flags": Flag.SEEN},
    )
    announce_own(connection, mailbox_id, copy_id)


def store_notice(connection: Connection[Any], notice_id: int, listed: ListedMessage, content: bytes) -> None:
    """Store the notice that takes withdrawn copies' place (R17); a second time changes nothing."""
    store(connection, notice_id, notice_id, listed, content)


def store(
    connection: Connection[Any], message_id: int, body_id: int, listed: ListedMessage, content: bytes | None
) -> None:
    """Store what is kept once per message and shard; a second time changes nothing.

    Args:
        connection: to the shard.
        message_id: the id that copies name.
        body_id: the id of its content, which several messages can share.
        listed: what mailboxes list.
        content: the bytes; None when the shard has them.
    """
    if content is not None:
        connection.execute(_SQL["store_body"], {"body_id": body_id, "content": content})
    connection.execute(_SQL["store_message"], {"message_id": message_id, "body_id": body_id, **asdict(listed)})
