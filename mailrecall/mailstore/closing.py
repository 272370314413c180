"""What closing an account does to its mailbox."""

from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.domain.copies import PREPARED, Fact
from mailrecall.mailstore import undecided
from mailrecall.mailstore.changes import announce_own
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "closing.sql", {"deleted": str(Fact.DELETED.value), "prepared": str(PREPARED)})


def mark_deleted(connection: Connection[Any], mailbox_id: int, *, now: datetime) -> int:
    """Mark every copy in a mailbox as deleted for good, in the caller's shard transaction.

    Returns:
        how many copies were marked; a repetition marks none.
    """
    keys = {"mailbox_id": mailbox_id, "now": now}
    marked = connection.execute(_SQL["mark_deleted"], {**keys, "free": []}).rowcount
    gone: set[int] = set()
    while prepared := [row[0] for row in connection.execute(_SQL["marked"], {**keys, "gone": sorted(gone)})]:
        standing = undecided.changeable(connection, mailbox_id, prepared, keeps_at=now)
        gone |= standing.gone
        marked += connection.execute(_SQL["mark_deleted"], {**keys, "free": list(standing.free)}).rowcount
    if marked:
        announce_own(connection, mailbox_id)
    return marked
