"""R13: decisions that the control database has forgotten, told by the shards that have carried them out.

A recall of which one shard has done its part is carried out on all others, or left alone on all others, as it was
decided: else half of it would be gone (docs/all-or-nothing.md). A recall that no shard has carried out is decided anew,
by what all shards say then.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from mailrecall.domain.recalls import Verdict
from mailrecall.mailstore.preparation import CarriedOut, carried_out_here
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import all_or_nothing, lanes
from mailrecall.recalls.decisions import Attempt

_SQL = queries.load(__package__, "deciding.sql")

_PAGE = 5000


class _Told(NamedTuple):
    """What shards tell of a recall; the greater one stands."""

    attempt: int
    committed: bool


def decide_again(databases: Databases, *, since: datetime, deadline: timedelta, now: datetime) -> int:
    """Write down what shards have carried out and the control database has forgotten; the services are stopped.

    Args:
        databases: control and shards.
        since: what shards carried out before that moment is taken to be known.
        deadline: how long shards have to carry it out (R9).
        now: the present moment.

    Returns:
        how many decisions there are again.
    """
    forgotten: dict[int, _Told] = {}
    for shard in databases.shards:
        for done in _forgotten(databases, shard, since):
            if done.verdict is None:
                continue  # nothing went there, nor stayed: it tells nothing, and must not hide what another tells
            # the last attempt counts; of that, what was taken: a restored shard may have found reasons to stay
            told = _Told(done.attempt, done.verdict is Verdict.COMMIT)
            forgotten[done.recall_id] = max(told, forgotten.get(done.recall_id, told))
    return sum(
        _remember(databases, recall_id, told, deadline_at=now + deadline, now=now)
        for recall_id, told in forgotten.items()
    )


def prepare_again(databases: Databases, *, deadline: timedelta, now: datetime) -> int:
    """Ask the shards once more for what is not decided: what they said before may hold no longer.

    A reader goes by a forgotten `release` before any shard has carried it out, and a restored shard may have forgotten
    its preparation: either way copies can have been read since. Comes after `decide_again`; the services are stopped.

    Args:
        databases: control and shards.
        deadline: how long shards have to answer (R9).
        now: the present moment.

    Returns:
        how many batches are asked about again.
    """
    with databases.control() as control:
        rows = control.execute(_SQL["prepare_again"]).fetchall()
        ids = {recall_id for recall_id, _, _ in rows}
        all_or_nothing.give_time(control, ids, deadline_at=now + deadline)
        small = {recall_id: lanes.is_small(control, recall_id) for recall_id in ids}
        todo = [
            work.prepare(recall_id, batch, shard, small=small[recall_id]) for recall_id, batch, shard in sorted(rows)
        ]
        outbox.add(control, todo, due_at=now)
    return len(rows)


def _remember(databases: Databases, recall_id: int, told: _Told, *, deadline_at: datetime, now: datetime) -> bool:
    attempt = Attempt(recall_id, told.attempt)
    verdict = Verdict.COMMIT if told.committed else Verdict.RELEASE
    with databases.control() as control:
        return all_or_nothing.remember(control, attempt, verdict, deadline_at=deadline_at, now=now) is not None


def _forgotten(databases: Databases, shard: int, since: datetime) -> Iterator[CarriedOut]:
    after = (0, 0)
    while True:
        with databases.shard(shard) as connection:
            page = carried_out_here(connection, since=since, after=after, limit=_PAGE)
        if not page:
            return
        with databases.control() as control:
            forgotten = set(control.execute(_SQL["forgotten"], _columns(page)).fetchall())
        yield from (told for told in page if (told.recall_id, told.attempt) in forgotten)
        after = (page[-1].recall_id, page[-1].batch)


def _columns(page: Sequence[CarriedOut]) -> dict[str, list[int]]:
    return {"ids": [told.recall_id for told in page], "attempts": [told.attempt for told in page]}
