"""R26: purging from a shard what could have been put back, and content that nothing refers to any more."""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from mailrecall.domain.outcomes import Outcome
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "purging.sql", {"RECALLED": str(Outcome.RECALLED.value)})


def purge_ledger(connection: Connection[Any], recall_id: int, held: Sequence[int], *, limit: int) -> int:
    """Purge some of a recall's ledger, in the caller's shard transaction.

    Args:
        connection: to the shard.
        recall_id: the recall.
        held: mailboxes of which nothing is purged.
        limit: rows of each kind that are purged at once.

    Returns:
        how many rows there were; 0 when all is gone but what is held.
    """
    keys = {"recall_id": recall_id, "held": list(held), "limit": limit}
    return sum(connection.execute(_SQL[name], keys).rowcount for name in ("outcomes", "duplicates"))


def purge_rest(
    connection: Connection[Any],
    recall_id: int,
    message_ids: Sequence[int],
    recalls: Sequence[int],
    *,
    content_too: bool,
) -> bool:
    """Purge what a recall leaves when its ledger is gone: batches, and messages with their content.

    Args:
        connection: to the shard, in the caller's transaction.
        recall_id: the recall.
        message_ids: its message and notice.
        recalls: all recalls of the message, whose ledgers may need it.
        content_too: False while the message is still being delivered.

    Returns:
        False when something is left, which is held.
    """
    keys = {"recall_id": recall_id, "recalls": list(recalls)}
    row = connection.execute(_SQL["left"], keys).fetchone()
    left = bool(row and row[0])
    if not left:
        connection.execute(_SQL["batches"], keys)
    for message_id in message_ids if content_too else ():
        for statement in ("message", "sharing", "body"):
            connection.execute(_SQL[statement], {**keys, "message_id": message_id})
    return not left
