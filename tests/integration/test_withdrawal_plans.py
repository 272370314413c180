"""How a shard carries out a withdrawal: what a batch costs follows from its range, whatever else lies on the shard."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.errors import Diagnostic

from mailrecall.mailstore import withdrawal
from mailrecall.mailstore.batch import Batch
from mailrecall.settings import Settings

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
MESSAGES = range(2, 26, 2)
MAILBOXES = 4_000
"""That each of the messages went to. Of every ten, one has read its copy."""
RECALLED = 12
"""One message of them, in the middle."""
FIRST, LAST = 1_001, 3_000
GONE = range(2_991, LAST + 1)
"""Copies that are not there any more, so that the counts are summed up from the ledger."""

Plan = Mapping[str, Any]
"""As EXPLAIN (FORMAT json) writes one."""


@pytest.fixture
def shard(settings: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(settings.shard_urls[0], autocommit=True) as connection:
        connection.execute(
            "INSERT INTO copy (message_id, mailbox_id, folder, via, facts)"
            " SELECT message_id, mailbox_id, 1, 0, (mailbox_id %% 10 = 0)::int"
            "   FROM unnest(%s::bigint[]) AS message_id, generate_series(1, %s::int) AS mailbox_id",
            (list(MESSAGES), MAILBOXES),
        )
        connection.execute(
            "DELETE FROM copy WHERE message_id = %s AND mailbox_id = ANY (%s::int[])", (RECALLED, list(GONE))
        )
        # what earlier recalls left, and this one's other batches
        connection.execute(
            "INSERT INTO outcome (recall_id, mailbox_id, outcome, via, folder, flags, batch)"
            " SELECT recall_id, mailbox_id, 1, 0, 1, 0, 1"
            "   FROM generate_series(1, 12) AS recall_id, generate_series(1, %s::int) AS mailbox_id"
            "  WHERE recall_id <> 7 OR mailbox_id NOT BETWEEN %s AND %s",
            (MAILBOXES, FIRST, LAST),
        )
        connection.execute(
            "INSERT INTO withdrawal (recall_id, batch, counts, done_at)"
            " SELECT recall_id, batch, '{}', %s"
            "   FROM generate_series(1, 12) AS recall_id, generate_series(1, 200) AS batch"
            "  WHERE (recall_id, batch) <> (7, 2)",
            (NOW,),
        )
        connection.execute("INSERT INTO deposit (message_id, batch) VALUES (%s, 2)", (RECALLED,))
        connection.execute("VACUUM (ANALYZE) copy, outcome, deposit, withdrawal")
    # prepared at once, as otherwise after some uses; from then on PostgreSQL may plan without the values
    with psycopg.connect(settings.shard_urls[0], prepare_threshold=0) as connection:
        yield connection


def test_a_withdrawal_reads_its_range_by_index_whatever_else_lies_there(shard: psycopg.Connection):
    plans: dict[str, Plan] = {}

    def take(message: Diagnostic) -> None:
        _, found, text = (message.message_primary or "").partition("plan:\n")
        if found:
            explained = json.loads(text)
            plans[shape(explained["Query Text"])] = explained["Plan"]

    shard.add_notice_handler(take)
    for setting in (
        "LOAD 'auto_explain'",
        "SET LOCAL plan_cache_mode = force_generic_plan",
        "SET LOCAL auto_explain.log_min_duration = 0",
        "SET LOCAL auto_explain.log_format = json",
        "SET LOCAL auto_explain.log_level = notice",
    ):
        shard.execute(setting)
    recipients = list(range(FIRST, LAST + 1))
    batch = Batch(recall_id=7, batch=2, message_id=RECALLED, first=FIRST, last=LAST, recipients=len(recipients))
    counts = withdrawal.withdraw(shard, batch, lambda: (recipients, [0] * len(recipients)), now=NOW)
    assert counts == {"0": {"recalled": 1791, "already_read": 199, "gone": 10}}

    statements = withdrawal._STATEMENTS.bare
    for name, table, index, keys in (
        ("withdraw", "copy", "copy_by_message", ("message_id", "mailbox_id")),
        ("classify_rest", "copy", "copy_by_message", ("message_id", "mailbox_id")),
        ("sum_up", "outcome", "outcome_pkey", ("recall_id", "mailbox_id")),
    ):
        every = list(nodes(plans[shape(statements[name].decode())]))
        scans = [node for node in every if "Scan" in node["Node Type"] and node.get("Relation Name") == table]
        assert [(node["Node Type"], node.get("Index Name")) for node in scans] == [("Index Scan", index)], name
        first, second = keys
        # parameters, not values: it is the plan that serves every batch
        condition = rf"\(\({first} = \$\d+\) AND \({second} >= \$\d+\) AND \({second} <= \$\d+\)\)"
        assert re.fullmatch(condition, scans[0]["Index Cond"]), name
        assert not [node for node in every if node["Node Type"] == "Seq Scan"], name
    # nor do the statements beside them
    every = [node for plan in plans.values() for node in nodes(plan)]
    read_whole = {node["Relation Name"] for node in every if node["Node Type"] == "Seq Scan"}
    assert not read_whole & {"copy", "outcome", "withdrawal"}


def shape(statement: str) -> str:
    """Return a statement without the names or numbers of its parameters, in which psycopg and the files differ."""
    return re.sub(r"%\(\w+\)s|\$\d+", "?", statement)


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
