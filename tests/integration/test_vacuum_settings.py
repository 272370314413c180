"""Storage parameters that the migrations give: autovacuum comes to large tables before a fifth of them is dead."""

from collections.abc import Mapping

import psycopg

from mailrecall.settings import Settings

CHURNED = {"autovacuum_vacuum_threshold": "10000", "autovacuum_vacuum_scale_factor": "0.002"}
UPDATED = {"autovacuum_vacuum_threshold": "1000", "autovacuum_vacuum_scale_factor": "0.01"}
GROWING = {"autovacuum_vacuum_insert_scale_factor": "0.02"}


def parameters(url: str) -> Mapping[str, Mapping[str, str]]:
    """Return the storage parameters of each table that has any."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT relname, reloptions FROM pg_class"
            " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL"
        )
        return {table: dict(option.split("=") for option in options) for table, options in rows}


def test_a_shards_tables_are_vacuumed_after_part_of_a_recall(settings: Settings):
    assert parameters(settings.shard_urls[0]) == {
        "copy": {"fillfactor": "90", **CHURNED, **GROWING},
        "outcome": {**CHURNED, **GROWING},
        "deposit": GROWING,
        "message": GROWING,
    }


def test_the_control_databases_tables_are_vacuumed_as_they_are_written(settings: Settings):
    assert parameters(settings.control_url) == {
        "outbox": {"autovacuum_vacuum_threshold": "500", "autovacuum_vacuum_scale_factor": "0.01"},
        "recall_batch": UPDATED,
        "delivery_batch": UPDATED,
        "message": UPDATED,
        "envelope_recipient": GROWING,
        "audit_record": GROWING,
    }
