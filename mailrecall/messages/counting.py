"""How many deliveries of a message are still to be done: its content stays in the control database as long."""

from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.postgres import queries

_SQL = queries.load(__package__, "counting.sql")


def deliveries_added(connection: Connection[Any], message_id: int, *, added: int) -> None:
    """Count further deliveries that need the content; in a transaction in which one is still to be done."""
    connection.execute(_SQL["deliveries_added"], {"message_id": message_id, "added": added})


def deliveries_done(connection: Connection[Any], message_id: int, *, done: int, now: datetime) -> None:
    """Count deliveries as done; with the last one the control database lets the content go."""
    connection.execute(_SQL["deliveries_done"], {"message_id": message_id, "done": done, "now": now})
