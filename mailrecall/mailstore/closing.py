"""What closing an account does to its mailbox."""

from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.domain.copies import Fact
from mailrecall.mailstore.changes import announce_own
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "closing.sql", {"deleted": str(Fact.DELETED.value)})


def mark_deleted(connection: Connection[Any], mailbox_id: int, *, now: datetime) -> int:
    """Mark every copy in a mailbox as deleted for good, in the caller's shard transaction.

    Returns:
        how many copies were marked; a repetition marks none.
    """
    marked = connection.execute(_SQL["mark_deleted"], {"mailbox_id": mailbox_id, "now": now}).rowcount
    if marked:
        announce_own(connection, mailbox_id)
    return marked
