"""R13: what whoever meets a copy does that an all-or-nothing recall has prepared to take (docs/all-or-nothing.md).

Such a copy bears `PREPARED`. Whether it is still there is said by one row of the control database, for all shards at
once, and nobody here guesses: as long as there is no decision the copy is shown, with `COMMIT` it is gone, whether or
not its row is. What would keep the copy, as reading does, needs the decision made first: it waits a moment, and then
decides itself that everything stays.

Copies without the mark, which are all but a few, cost nothing here.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow

from mailrecall.domain.copies import PREPARED
from mailrecall.domain.recalls import Verdict
from mailrecall.postgres import queries
from mailrecall.postgres.databases import databases_of
from mailrecall.recalls import decisions
from mailrecall.recalls.decisions import Attempt

_SQL = queries.load(__package__, "undecided.sql", {"PREPARED": str(PREPARED)})

_PAUSE = 0.05
"""Seconds between two looks for a decision."""

Marked = Callable[[TupleRow], Iterable[int]]
"""Names the marked copies that a row tells of."""


def marked(row: TupleRow) -> Iterable[int]:
    """Name the copy of a row that begins with its id and its facts, if it bears the mark."""
    return (row[0],) if row[1] & PREPARED else ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What may be done with marked copies."""

    free: Sequence[int]
    """May be changed, with their origins, mark and all."""
    gone: frozenset[int]
    """Were withdrawn, whether or not their rows are still there."""


def read(
    connection: Connection[Any], statement: bytes, parameters: Mapping[str, object], marked_in: Marked = marked
) -> list[TupleRow]:
    """Run a statement on a mailbox's copies so that what was withdrawn everywhere is not in it anywhere.

    Args:
        connection: to the shard.
        statement: leaves out the copies in `hidden`.
        parameters: the statement's others, `mailbox_id` among them.
        marked_in: names the marked copies in a row of it.
    """
    hidden: set[int] = set()
    known: set[int] = set()
    while True:
        rows = connection.execute(statement, {**parameters, "hidden": sorted(hidden)}).fetchall()
        unknown = {copy_id for row in rows for copy_id in marked_in(row)} - known
        if not unknown:
            return rows
        # what bears the mark no more was settled meanwhile: the next look tells how
        waiting = _waiting(connection, parameters["mailbox_id"], unknown)
        hidden |= _gone(connection, waiting)
        known |= {one.copy_id for one in waiting}


def changeable(
    connection: Connection[Any], mailbox_id: int, copy_ids: Collection[int], *, keeps_at: datetime | None = None
) -> Standing:
    """Find out what may be done with marked copies.

    Args:
        connection: to the shard, with no lock on these copies.
        mailbox_id: whose.
        copy_ids: the copies. One that bears the mark no more is neither free nor gone: it is like any other.
        keeps_at: the present moment if the change is one that keeps a copy: then the decision is waited for or made,
            and free means released, until the caller's transaction ends. None: a change that no recall looks at.
    """
    waiting = _waiting(connection, mailbox_id, copy_ids)
    if keeps_at is None:
        gone = _gone(connection, waiting)
        return _standing((one for one in waiting if one.copy_id not in gone), gone)
    free, gone = [], set()
    for one in waiting:
        if one.attempt is None:
            free.append(one)
        elif _decided(connection, one.attempt, one.prepared_at, now=keeps_at) is Verdict.COMMIT:
            gone.add(one.copy_id)
        elif _held_still(connection, mailbox_id, one.origin_id, one.attempt):
            free.append(one)
    return _standing(free, gone)


@dataclass(frozen=True, slots=True)
class _Waiting:
    copy_id: int
    origin_id: int
    attempt: Attempt | None
    prepared_at: datetime


def _standing(free: Iterable[_Waiting], gone: set[int]) -> Standing:
    return Standing(sorted({copy_id for one in free for copy_id in (one.copy_id, one.origin_id)}), frozenset(gone))


def _waiting(connection: Connection[Any], mailbox_id: object, copy_ids: Collection[int]) -> Sequence[_Waiting]:
    rows = connection.execute(_SQL["waiting"], {"mailbox_id": mailbox_id, "copy_ids": sorted(copy_ids)})
    return [
        _Waiting(copy_id, origin_id, None if recall_id is None else Attempt(recall_id, number), prepared_at)
        for copy_id, origin_id, recall_id, number, prepared_at in rows
    ]


def _gone(connection: Connection[Any], waiting: Sequence[_Waiting]) -> set[int]:
    attempts = {one.attempt for one in waiting if one.attempt is not None}
    if not attempts:
        return set()
    with databases_of(connection).control() as control:
        verdicts = decisions.find(control, attempts)
    return {one.copy_id for one in waiting if one.attempt and verdicts.get(one.attempt) is Verdict.COMMIT}


def _decided(connection: Connection[Any], attempt: Attempt, prepared_at: datetime, *, now: datetime) -> Verdict:
    """Wait for the decision; if it has been due for too long, make it: the copies stay."""
    databases = databases_of(connection)
    wait = databases.settings.decision_wait
    # counted by the clock of whoever prepared; should the two differ, never more than the whole
    until = time.monotonic() + min(wait, wait - (now - prepared_at).total_seconds())
    while True:
        with databases.control() as control:
            verdict = decisions.find(control, [attempt]).get(attempt)
            if verdict is not None:
                return verdict
            if time.monotonic() >= until:
                return decisions.decide(control, attempt, Verdict.RELEASE, now=now, wait=wait)
        time.sleep(_PAUSE)


def _held_still(connection: Connection[Any], mailbox_id: int, origin_id: int, attempt: Attempt) -> bool:
    keys = {
        "recall_id": attempt.recall_id,
        "attempt": attempt.number,
        "message_id": origin_id,
        "mailbox_id": mailbox_id,
    }
    return connection.execute(_SQL["hold_still"], keys).fetchone() is not None
