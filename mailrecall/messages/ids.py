"""Message ids for what was never accepted as mail: copies that their owners make or bring along themselves."""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from mailrecall.postgres import queries

_SQL = queries.load(__package__, "ids.sql")


def unused_ids(connection: Connection[Any], count: int) -> Sequence[int]:
    """Return ids, ascending, that no message of the control database will ever have: no recall can name them."""
    return sorted(row[0] for row in connection.execute(_SQL["unused_ids"], {"count": count}))
