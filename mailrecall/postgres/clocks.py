"""Two clocks, the process's and the control database's: what cannot be taken back is never done on the word of one.

A clock that is ahead would purge what can still be restored (R26), or give up shards that still have time to answer
(R9). See docs/operate.md.
"""

from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.postgres import queries

_SQL = queries.load(__package__, "clocks.sql")


def earlier(connection: Connection[Any], now: datetime) -> datetime:
    """Return the moment that has come by both clocks.

    Args:
        connection: to the control database.
        now: the present moment by the caller's clock.
    """
    return min(now, _of_database(connection))


def later(connection: Connection[Any], now: datetime) -> datetime:
    """Return the moment that has come by one of both clocks, for what a time is counted from."""
    return max(now, _of_database(connection))


def _of_database(connection: Connection[Any]) -> datetime:
    row = connection.execute(_SQL["moment"]).fetchone()
    if row is None:
        raise AssertionError("SELECT of one row gave none")
    moment: datetime = row[0]
    return moment
