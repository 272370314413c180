"""Where mailboxes are: which shard a new one goes to, and that none moves while somebody counts on it.

A new one always goes to the shard with the fewest, of those that take new ones, so that they fill evenly.
"""

import heapq
from collections.abc import Mapping
from typing import Any

import psycopg
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


class PlacementMovingError(psycopg.OperationalError):
    """A move of mailboxes was interrupted half-way, and is about to be ended; try again."""

    def __init__(self) -> None:
        super().__init__("mailboxes are moving to another shard; try again")


def hold_still(connection: Connection[Any]) -> None:
    """Keep mailboxes from changing their shard, as the control database knows it, until the caller's transaction ends.

    For those who read or write batches of several mailboxes together with where they are.

    Raises:
        PlacementMovingError: a move was interrupted between a shard and the control database.
    """
    row = connection.execute(_SQL["is_steady"]).fetchone()
    if row is None or not row[0]:
        raise PlacementMovingError


def place(connection: Connection[Any], new: int) -> list[int]:
    """Return the shards for new mailboxes; the caller holds the directory's lock, so that nobody counts at once.

    Raises:
        DirectoryError: there is no shard yet.
    """
    filled: dict[int, int] = dict(connection.execute(_SQL["filled"]).fetchall())
    if not filled:
        raise DirectoryError(
            Code.NO_SHARDS,
            "No shard takes new mailboxes; start the stack once, or open one with `mailrecall shards add`.",
        )
    return spread(filled, new)
