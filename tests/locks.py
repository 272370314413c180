"""Waiting until a race stands as a test wants it."""

from collections.abc import Callable

import psycopg

from mailrecall.embedded.deadlines import poll
from mailrecall.settings import Settings


def until_somebody_waits_for_a_lock(
    settings: Settings, *, shard: int | None = None, unless: Callable[[], bool] = lambda: False
) -> None:
    """Wait until some transaction waits for another one's row, or something else is so.

    Args:
        settings: of whom.
        shard: on which; None: of the control database.
        unless: ends the waiting as well.
    """
    database = settings.control_url if shard is None else settings.shard_urls[shard]

    def waits() -> bool:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
        return bool(row and row[0])

    with psycopg.connect(database, autocommit=True) as connection:
        assert poll(lambda: unless() or waits(), timeout=60), "nobody waits"
