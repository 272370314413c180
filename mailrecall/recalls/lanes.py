"""Which lane a recall's batches take: small recalls wait for no large one."""

from typing import Any

from psycopg import Connection

from mailrecall.outbox.work import SMALL
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "lanes.sql")


def is_small(connection: Connection[Any], recall_id: int) -> bool:
    """Tell whether a planned recall takes little time, whatever its batches are."""
    row = connection.execute(_SQL["recipients"], {"recall_id": recall_id}).fetchone()
    return row is not None and row[0] <= SMALL
