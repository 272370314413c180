"""The outbox table."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from mailrecall import tracing
from mailrecall.outbox.work import Work, version_of
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "outbox.sql")

_FIRST_RETRY = timedelta(seconds=1)
_LONGEST_OUTAGE_RETRY = timedelta(minutes=1)
_LONGEST_RETRY = timedelta(minutes=5)

FIRST_DUE = """(due_at - make_interval(secs => %(lease)s * (
    (1 << least(attempts - (published_at IS NOT NULL)::int, 7)) - 1
    + 64 * greatest(attempts - (published_at IS NOT NULL)::int - 7, 0))))"""
"""SQL: since when at least a row has been due. `publish_again` makes it due anew when a lease has run out, so that it
takes its turn behind what is due by then; the leases that ran out since the last failure are the time before."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A piece of work on its way to the broker."""

    work_id: int
    task: str
    queue: str
    args: dict[str, int]
    version: int = 1
    """Of the shape of `args`."""
    trace: str | None = None
    """The W3C traceparent of what made the work necessary."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits: unfinished work, work put aside after too many failures, and since when the oldest has been due."""

    waiting: int
    dead: int
    oldest_due_at: datetime | None


class Standing(Enum):
    """What a worker finds of the work that it was given."""

    CLOSED = auto()
    """It is done, or put aside, or it killed a worker and is published again after a pause."""
    OPEN = auto()
    """It is to be done."""
    UNENDED = auto()
    """A try that was not the first has begun, and neither ended nor failed: its worker died."""


def add(connection: Connection[Any], work: Iterable[Work], *, due_at: datetime) -> None:
    """Write work into the caller's transaction; it is published once that commits and `due_at` has come."""
    rows = [_row(w, due_at) for w in work]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_SQL["add"], rows)


def add_one(connection: Connection[Any], work: Work, *, due_at: datetime) -> int:
    """Write one piece of work, as `add` does; return its id, by which it can be taken back until it is published."""
    row = connection.execute(_SQL["add"], _row(work, due_at)).fetchone()
    if row is None:
        raise AssertionError("INSERT … RETURNING gave no row")
    work_id: int = row[0]
    return work_id


def _row(work: Work, due_at: datetime) -> dict[str, object]:
    return {
        "task": work.task,
        "queue": work.queue,
        "args": Jsonb(dict(work.args)),
        "version": version_of(work.task),
        "trace": tracing.current(),
        "due_at": due_at,
    }


def is_open(connection: Connection[Any], work_id: int) -> bool:
    """Tell whether the work still waits to be done: a second delivery of a finished task finds it closed."""
    row = connection.execute(_SQL["is_open"], {"work_id": work_id}).fetchone()
    return bool(row and row[0])


def begin(connection: Connection[Any], work_id: int, *, redelivered: bool, patience: float, now: datetime) -> Standing:
    """Find out whether a try may run, and remember that one did that is not the first.

    Args:
        connection: to the control database; to be committed before the work runs.
        work_id: the outbox row.
        redelivered: whether the broker hands out the same publication again, which it does when a worker was lost.
        patience: seconds after which a try is taken for dead that the broker says nothing of.
        now: the present moment.
    """
    row = connection.execute(_SQL["begin"], {"work_id": work_id}).fetchone()
    # what killed its worker comes back at once, over and over, from each message that the broker still holds of it
    if row is None or (redelivered and row[1]):
        return Standing.CLOSED
    if not (redelivered or row[0]):
        return Standing.OPEN
    keys = {"work_id": work_id, "redelivered": redelivered, "patience": patience, "now": now}
    before = connection.execute(_SQL["begin_again"], keys).fetchone()
    return Standing.UNENDED if before and before[0] else Standing.OPEN


def finish(connection: Connection[Any], work_id: int) -> bool:
    """Record work as done, in the transaction that writes its result; False where another run has done so.

    Of two runs at once, the second waits here until the first one's transaction ends.
    """
    return bool(connection.execute(_SQL["finish"], {"work_id": work_id}).rowcount)


def fail(connection: Connection[Any], work_id: int, failure: str, *, outage: bool, most: int, now: datetime) -> bool:
    """Record a failed attempt; the work is published again after a pause.

    Args:
        connection: to the control database.
        work_id: the outbox row.
        failure: what went wrong, without content or addresses.
        outage: whether a server did not answer: then the failure does not count, and the pause stays below two minutes.
        most: after how many failures the work is put aside; until then the pause doubles from a second to five minutes.
        now: the present moment.

    Returns:
        whether the work was put aside for an operator.
    """
    parameters = {
        "work_id": work_id,
        "failure": failure,
        "outage": outage,
        "most": most,
        "now": now,
        "first": _FIRST_RETRY,
        "longest_outage": _LONGEST_OUTAGE_RETRY,
        "longest": _LONGEST_RETRY,
    }
    dead = connection.execute(_SQL["fail"], parameters).fetchone()
    return bool(dead and dead[0])


def put_off(connection: Connection[Any], work_id: int, reason: str, *, due_at: datetime) -> None:
    """Have work published again at a moment that the work itself chooses; it counts as no failure.

    Args:
        connection: to the control database.
        work_id: the outbox row.
        reason: for operators, without content or addresses.
        due_at: when.
    """
    connection.execute(_SQL["put_off"], {"work_id": work_id, "reason": reason, "due_at": due_at})


def take_due(connection: Connection[Any], *, now: datetime, limit: int) -> list[Publication]:
    """Mark what is due as published and return it; the caller publishes before it commits."""
    rows = connection.execute(_SQL["take_due"], {"now": now, "limit": limit}).fetchall()
    return [Publication(*row) for row in rows]


def publish_again(connection: Connection[Any], *, now: datetime, lease: float) -> int:
    """Have overdue work published again; return how much there was."""
    return connection.execute(_SQL["publish_again"], {"now": now, "lease": lease}).rowcount


def backlog(connection: Connection[Any]) -> Backlog:
    """Count what waits."""
    row = connection.execute(_SQL["backlog"]).fetchone()
    return Backlog(*row) if row else Backlog(0, 0, None)
