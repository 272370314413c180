"""A mailbox as POP3 sees it, on a connection to its shard: the inbox, and nothing but whole messages.

R7: what is handed out stays. The fact is recorded here and must be committed before the first octet leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.domain.copies import Fact, Folder
from mailrecall.mailstore import changes, duplicates, reading, undecided
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "pop3.sql", {"deleted": str(Fact.DELETED.value), "inbox": str(Folder.INBOX.value)})


@dataclass(frozen=True, slots=True)
class Listed:
    """A message as LIST and UIDL name it; nothing of it is handed out by that."""

    copy_id: int
    size: int
    """Octets of the content."""


def maildrop(connection: Connection[Any], mailbox_id: int) -> Sequence[Listed]:
    """Return the copies in the inbox, oldest first."""
    rows = undecided.read(connection, _SQL["maildrop"], {"mailbox_id": mailbox_id})
    return [Listed(copy_id, size) for copy_id, _, size in rows]


def fetch(connection: Connection[Any], mailbox_id: int, copy_id: int, *, now: datetime) -> bytes | None:
    """R7: return a copy's content to be handed out, once this transaction is committed; it stays from then on.

    Returns:
        None when the copy is gone: deleted, or withdrawn by a recall.
    """
    if not reading.record_fetch(connection, mailbox_id, copy_id, now=now):
        return None
    return reading.content_of(connection, mailbox_id, copy_id)


def delete(connection: Connection[Any], mailbox_id: int, copy_ids: Sequence[int], *, now: datetime) -> int:
    """Delete copies for good, all in the caller's transaction; those no longer in the inbox are passed over.

    A session lists the inbox at its beginning: what its owner put elsewhere since then is to be kept.

    Returns:
        how many were deleted.
    """
    deleted = duplicates.delete_for_good(connection, mailbox_id, copy_ids, folder=Folder.INBOX, now=now)
    if deleted:
        changes.announce_own(connection, mailbox_id)
    return deleted
