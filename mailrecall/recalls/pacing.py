"""How fast a recall went, read from the control database alone: counts and moments of ranges, never addresses (R23)."""

from datetime import timedelta
from typing import Any

from psycopg import Connection

from mailrecall.domain.pace import Extent, Pace, pace_of, stretch_of
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "pacing.sql")

_MICROSECOND = timedelta(microseconds=1)


def find(connection: Connection[Any], recall_id: int) -> Pace | None:
    """Return how many mailboxes a recall had done by when; None where there is too little to be seen in it.

    Those outside the platform have no moment, and are in none of the numbers.
    """
    row = connection.execute(_SQL["extent"], {"recall_id": recall_id}).fetchone()
    if row is None or row[0] is None:
        return None
    extent = Extent(*row)
    stretch = stretch_of(extent)
    if stretch is None:
        return None
    keys = {"recall_id": recall_id, "stretch": stretch // _MICROSECOND}
    return pace_of(extent, stretch, dict(connection.execute(_SQL["by_stretch"], keys).fetchall()))
