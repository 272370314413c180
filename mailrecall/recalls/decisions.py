"""R13: the decision of an all-or-nothing recall, one row in the control database for all shards.

Whoever writes it first decides, and sets off what carries it out in the same transaction: the recall's last
preparation, one that found a copy that has to stay, a reader who has waited long enough, or the reconciler at the
deadline. See docs/all-or-nothing.md.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall import faultpoints, logs
from mailrecall.domain.recalls import Verdict
from mailrecall.faultpoints import Commit
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries
from mailrecall.recalls import lanes

log = logs.get(__name__)

_SQL = queries.load(__package__, "decisions.sql")

_LEAST_WAIT = 1.0
"""Seconds that somebody about to decide waits for another one's transaction, or may fall silent in its own."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is decided: a recall, and which of its attempts (R12)."""

    recall_id: int
    number: int


def find(connection: Connection[Any], attempts: Collection[Attempt]) -> dict[Attempt, Verdict]:
    """Return how attempts were decided; those that are not decided yet are left out."""
    parameters = {
        "recall_ids": [attempt.recall_id for attempt in attempts],
        "attempts": [attempt.number for attempt in attempts],
    }
    rows = connection.execute(_SQL["verdicts"], parameters)
    return {Attempt(recall_id, number): Verdict(verdict) for recall_id, number, verdict in rows}


def record(connection: Connection[Any], attempt: Attempt, verdict: Verdict, *, now: datetime) -> bool:
    """Write a decision and no more; returns False when there is one already."""
    keys = {"recall_id": attempt.recall_id, "attempt": attempt.number, "verdict": verdict, "now": now}
    return bool(connection.execute(_SQL["decide"], keys).rowcount)


def decide(
    connection: Connection[Any], attempt: Attempt, verdict: Verdict, *, now: datetime, wait: float = _LEAST_WAIT
) -> Verdict:
    """Decide, unless somebody did before, with the work of carrying it out; keep the transaction short.

    Args:
        connection: to the control database.
        attempt: what is decided.
        verdict: the caller's word. To say `COMMIT` is for those only who know every batch to be prepared.
        now: the present moment.
        wait: seconds to wait for another who is deciding.

    Returns:
        what stands from the caller's commit on.

    Raises:
        psycopg.errors.LockNotAvailable: another one's decision neither came nor went.
    """
    wait_ms = f"{round(max(wait, _LEAST_WAIT) * 1000)}ms"
    connection.execute(_SQL["not_for_long"], {"wait": wait_ms})
    if record(connection, attempt, verdict, now=now):
        rows = connection.execute(_SQL["batches"], {"recall_id": attempt.recall_id}).fetchall()
        small = lanes.is_small(connection, attempt.recall_id)
        todo = [work.withdraw(attempt.recall_id, batch, shard, small=small) for batch, shard in rows]
        outbox.add(connection, todo, due_at=now)
        faultpoints.before(Commit.DECIDE)
        log.info("recall.decided", recall_id=attempt.recall_id, attempt=attempt.number, verdict=verdict.value)
        return verdict
    # a statement of its own, which sees what was waited for
    return find(connection, [attempt])[attempt]
