"""R25: looking at the copies of messages as a recall would, and leaving them as they are.

The shards are asked side by side, by the ranges that a recall would work on, and for a bounded time: what a shard that
is away would have said is counted as unknown. R23 holds by itself: there are counts here, and nobody's name.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from mailrecall.domain.batches import FIRST_MOVED
from mailrecall.domain.outcomes import Outcome, Tally, outcome_case_sql
from mailrecall.domain.policy import Kinship, Policy
from mailrecall.domain.previews import foresee, foresee_batch
from mailrecall.postgres import abreast, queries
from mailrecall.postgres.databases import Databases

_SQL = queries.load(
    __package__, "previews.sql", {"OUTCOME_CASE": outcome_case_sql("facts"), "FIRST_MOVED": str(FIRST_MOVED)}
)

PATIENCE = 3.0
"""Seconds that shards have to answer."""

_AT_A_TIME = 20_000
"""Recipients that one statement on a shard looks at: what was counted before time is up is kept."""

_Counts = dict[int, Tally]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a recall of one message would come to at this moment."""

    by_via: Mapping[int, Tally]
    """The outcomes by addressee (0: named directly); whoever's shard did not answer is missing."""
    unknown: int
    """Local recipients in scope whose shard did not answer."""

    @property
    def tally(self) -> Tally:
        """The outcomes of all that is known."""
        return sum(self.by_via.values(), Tally({}))

    @property
    def recipients(self) -> int:
        """Everybody whom the message goes to, external recipients included."""
        return self.tally.total + self.unknown

    @property
    def copies(self) -> int:
        """Local recipients in scope: what a recall would try to take, and what `approval_above` counts (R21)."""
        return self.recipients - self.external

    @property
    def external(self) -> int:
        """Recipients outside, or beyond the scope (R1)."""
        return self.tally[Outcome.EXTERNAL]

    @property
    def recallable(self) -> int:
        """How many copies would go, as far as known."""
        return self.tally[Outcome.RECALLED]

    @property
    def untouched(self) -> bool:
        """R20: there is a local copy, and as far as shards answered every one still qualifies."""
        return self.copies > 0 and self.recallable == self.copies - self.unknown


@dataclass(frozen=True, slots=True)
class Headline:
    """What a message is called, and when its windows began (R3)."""

    subject: str
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class _Batch:
    message_id: int
    batch: int
    shard: int
    first: int
    last: int
    recipients: int
    in_scope: Mapping[str, int] | None
    beyond: Mapping[str, int] | None
    out_of_scope: Sequence[int] | None

    @property
    def expected(self) -> dict[int, int]:
        """Those in scope, by addressee if that was asked for."""
        if self.in_scope is None:
            return {0: self.recipients - len(self.out_of_scope or ())}
        return {int(via): n for via, n in self.in_scope.items()}

    @property
    def external(self) -> dict[int, Tally]:
        """Those beyond the scope (R1)."""
        beyond = self.beyond or {"0": len(self.out_of_scope or ())}
        return {int(via): Tally.of({Outcome.EXTERNAL: n}) for via, n in beyond.items() if n}


@dataclass(slots=True)
class _Answer:
    message_id: int
    batch: int
    delivered: bool
    found: _Counts = field(default_factory=dict)


def preview(
    databases: Databases,
    message_ids: Sequence[int],
    policy: Policy,
    *,
    now: datetime,
    by_via: bool = True,
    patience: float = PATIENCE,
) -> dict[int, Preview]:
    """Foresee what recalls of messages would come to; messages that do not exist are left out.

    Args:
        databases: control and shards.
        message_ids: the messages (even ids), none of which has been recalled yet.
        policy: the switches that a recall would keep.
        now: the present moment.
        by_via: whether the counts are wanted by addressee; otherwise all stand under 0, which is cheaper.
        patience: seconds that shards have to answer.
    """
    with databases.control() as control:
        known: dict[int, _Counts] = {}
        waiting: list[int] = []
        for message_id, expanded, to_nobody in control.execute(
            _SQL["messages"], {"message_ids": list(message_ids), "now": now}
        ).fetchall():
            if expanded:
                waiting.append(message_id)
                known[message_id] = {}
            else:
                known[message_id] = _if_expanded(control, message_id, policy, to_nobody=to_nobody, by_via=by_via)
        batches = _batches(control, waiting, policy, by_via=by_via)
        for message_id, via, n in control.execute(
            _SQL["externals"], {"message_ids": waiting, "by_via": by_via}
        ).fetchall():
            _add(known[message_id], {via: Tally.of({Outcome.EXTERNAL: n})})
    # of what a shard held that was removed nobody has anything
    removed = databases.settings.removed_shards
    answered = {(b.message_id, b.batch): _Answer(b.message_id, b.batch, True) for b in batches if b.shard in removed}
    questions = {
        shard: _question([b for b in batches if b.shard == shard], by_via=by_via)
        for shard in {b.shard for b in batches} - removed
    }
    answers, _silent = abreast.ask(databases, questions, patience=patience)
    answered |= {(a.message_id, a.batch): a for a in answers}
    unknown = dict.fromkeys(known, 0)
    for batch in batches:
        counts = known[batch.message_id]
        _add(counts, batch.external)
        if answer := answered.get((batch.message_id, batch.batch)):
            _add(counts, foresee_batch(batch.expected, answer.found, delivered=answer.delivered))
        else:
            unknown[batch.message_id] += sum(batch.expected.values())
    return {id_: Preview(foresee(counts, policy.group_mode), unknown[id_]) for id_, counts in known.items()}


def copies_of(control: Connection[Any], message_ids: Sequence[int], policy: Policy, *, now: datetime) -> dict[int, int]:
    """R21: return how many copies recalls of messages would try to take, without asking any shard."""
    rows = control.execute(_SQL["messages"], {"message_ids": list(message_ids), "now": now}).fetchall()
    copies = {message_id: 0 for message_id, _expanded, _to_nobody in rows}
    copies |= dict(control.execute(_SQL["copies"], {"message_ids": list(message_ids), **_scope(policy)}).fetchall())
    for message_id, expanded, to_nobody in rows:
        if not expanded:
            counts = _if_expanded(control, message_id, policy, to_nobody=to_nobody, by_via=False)
            copies[message_id] = sum(tally[Outcome.RECALLED] for tally in counts.values())
    return copies


def headline_of(control: Connection[Any], message_id: int) -> Headline:
    """Return a message's headline.

    Raises:
        LookupError: there is no such message.
    """
    row = control.execute(_SQL["headline"], {"message_id": message_id}).fetchone()
    if row is None:
        raise LookupError(f"There is no message {message_id}.")
    return Headline(*row)


def _batches(control: Connection[Any], message_ids: list[int], policy: Policy, *, by_via: bool) -> list[_Batch]:
    parameters = {"message_ids": message_ids, "by_via": by_via, **_scope(policy)}
    with control.cursor(row_factory=class_row(_Batch)) as cursor:
        return cursor.execute(_SQL["batches"], parameters).fetchall()


def _scope(policy: Policy) -> dict[str, object]:
    furthest = policy.furthest_in_scope
    return {"furthest": furthest.value, "beyond": [kinship.value for kinship in Kinship if kinship > furthest]}


def _if_expanded(
    control: Connection[Any], message_id: int, policy: Policy, *, to_nobody: bool, by_via: bool
) -> _Counts:
    """R16: nothing of the message has been delivered, so whoever is in scope would count as recalled."""
    parameters = {
        "message_id": message_id,
        "to_nobody": to_nobody,
        "furthest": policy.furthest_in_scope.value,
        "by_via": by_via,
    }
    counts: _Counts = {}
    for via, in_scope, n in control.execute(_SQL["if_expanded"], parameters).fetchall():
        _add(counts, {via: Tally.of({Outcome.RECALLED if in_scope else Outcome.EXTERNAL: n})})
    return counts


def _add(counts: _Counts, more: Mapping[int, Tally]) -> None:
    for via, tally in more.items():
        counts[via] = counts.get(via, Tally({})) + tally


def _question(batches: Sequence[_Batch], *, by_via: bool) -> abreast.Question[_Answer]:
    def ask(connection: Connection[Any], left: Callable[[], float]) -> Iterator[_Answer]:
        for portion in _portions(batches):
            abreast.limit_statement(connection, left())
            rows = connection.execute(
                _SQL["standing"],
                {
                    "message_ids": [b.message_id for b in portion],
                    "batches": [b.batch for b in portion],
                    "firsts": [b.first for b in portion],
                    "lasts": [b.last for b in portion],
                    "out_of_scope": list(portion[0].out_of_scope or ()),
                    "by_via": by_via,
                },
            ).fetchall()
            yield from _answers(rows)

    return ask


def _portions(batches: Sequence[_Batch]) -> Iterator[list[_Batch]]:
    """Cut a shard's batches into portions for a statement each; one with recipients beyond the scope stands alone."""
    portion: list[_Batch] = []
    size = 0
    for batch in batches:
        if batch.out_of_scope:
            yield [batch]
            continue
        if portion and size + batch.recipients > _AT_A_TIME:
            yield portion
            portion, size = [], 0
        portion.append(batch)
        size += batch.recipients
    if portion:
        yield portion


def _answers(rows: Sequence[tuple[int, int, bool, int | None, int | None, int | None]]) -> Iterator[_Answer]:
    found: dict[tuple[int, int], _Answer] = {}
    for message_id, batch, delivered, via, outcome, n in rows:
        answer = found.setdefault((message_id, batch), _Answer(message_id, batch, delivered))
        if via is not None and outcome is not None and n is not None:
            _add(answer.found, {via: Tally.of({Outcome(outcome): n})})
    yield from found.values()
