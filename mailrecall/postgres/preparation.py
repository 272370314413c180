"""Brings all databases of an installation to the present schema; what `mailrecall migrate` and `mailrecall up` do."""

import psycopg

from mailrecall.postgres import queries
from mailrecall.postgres.databases import connection_options
from mailrecall.postgres.migrations import Phase, migrate
from mailrecall.settings import Settings

_SQL = queries.load(__package__, "preparation.sql")


def prepare(settings: Settings, phase: Phase = Phase.ALL) -> int:
    """Migrate the control database and every shard, and make the shards known; safe to repeat and to run twice at once.

    Returns:
        how many migrations were applied in all databases together.

    Raises:
        psycopg.OperationalError: a database cannot be reached.
    """
    applied = migrate(settings.control_url, "control", phase)
    applied += sum(migrate(settings.shard_urls[number], "shard", phase) for number in settings.shard_numbers)
    with psycopg.connect(settings.control_url, **connection_options(settings, "migrate")) as connection:
        connection.execute(_SQL["make_shards_known"], {"numbers": list(settings.shard_numbers)})
    return applied
