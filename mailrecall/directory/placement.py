"""Which shard a new mailbox goes to: always the one with the fewest, so that they fill evenly."""

import heapq
from collections.abc import Mapping
from typing import Any

from psycopg import Connection

from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "placement.sql")


def spread(filled: Mapping[int, int], new: int) -> list[int]:
    """Place new mailboxes one after the other, each on the shard that then has the fewest, the lowest number first.

    Args:
        filled: the mailboxes that each shard holds; there must be a shard.
        new: how many are to be placed.

    Returns:
        the shard of each.
    """
    heap = [(mailboxes, shard) for shard, mailboxes in filled.items()]
    heapq.heapify(heap)
    placed = []
    for _ in range(new):
        mailboxes, shard = heap[0]
        placed.append(shard)
        heapq.heapreplace(heap, (mailboxes + 1, shard))
    return placed


def place(connection: Connection[Any], new: int) -> list[int]:
    """Return the shards for new mailboxes; the caller holds the directory's lock, so that nobody counts at once.

    Raises:
        DirectoryError: there is no shard yet.
    """
    filled: dict[int, int] = dict(connection.execute(_SQL["filled"]).fetchall())
    if not filled:
        raise DirectoryError(
            Code.NO_SHARDS, "There is no shard to put mailboxes on; start the stack once, or insert the shards."
        )
    return spread(filled, new)
