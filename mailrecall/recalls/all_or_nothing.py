"""R13: the way of an all-or-nothing recall through the control database: prepared, decided, carried out.

See docs/all-or-nothing.md. Everything here is in the caller's transaction.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.domain.audit import Hold
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Verdict
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries
from mailrecall.recalls import decisions, lanes
from mailrecall.recalls.decisions import Attempt

_SQL = queries.load(__package__, "all_or_nothing.sql")

_ASSUMED = {Verdict.COMMIT: Outcome.RECALLED.slug, Verdict.RELEASE: Outcome.VETOED.slug}


@dataclass(frozen=True, slots=True)
class _State:
    attempt: Attempt
    verdict: Verdict | None
    never_sent: bool


def is_undecided(connection: Connection[Any], recall_id: int) -> bool:
    """Tell whether a recall is all or nothing, and not decided yet."""
    state = _state(connection, recall_id)
    return state is not None and state.verdict is None


def decide_what_was_never_sent(connection: Connection[Any], recall_id: int, *, now: datetime) -> None:
    """Decide the recall of a message that a moderator or its author's second thoughts kept back (R30, R28).

    There never was a copy, and there never will be one: all of nothing qualifies.
    """
    state = _state(connection, recall_id)
    if state is not None and state.verdict is None and state.never_sent:
        decisions.record(connection, state.attempt, Verdict.COMMIT, now=now)


def record_prepared(
    connection: Connection[Any],
    attempt: Attempt,
    batch: int,
    shard: int,
    *,
    qualifies: bool,
    marked: bool,
    now: datetime,
) -> Verdict | None:
    """Record what a shard said of a batch. One refusal decides, and so does the last consent.

    Args:
        connection: to the control database, in the caller's transaction.
        attempt: what the batch was prepared for.
        batch: its number.
        shard: where it is.
        qualifies: whether all of it can go.
        marked: whether copies wait there, from this run or an earlier one. Of a batch that was let go before that is
            done once more.
        now: the present moment.

    Returns:
        the decision, if this made it or found it made.
    """
    keys = {"recall_id": attempt.recall_id, "attempt": attempt.number, "batch": batch}
    connection.execute(_SQL["lock_recall"], keys)
    state = _state(connection, attempt.recall_id)
    if state is None:
        return None
    late = state.attempt != attempt  # a run of an earlier attempt's task, long after
    if marked and (late or state.verdict is Verdict.RELEASE):
        let_go_again(connection, attempt.recall_id, batch, shard, now=now)
    if late or state.verdict is not None:
        return None if late else state.verdict
    if not qualifies:
        return decisions.decide(connection, attempt, Verdict.RELEASE, now=now)
    connection.execute(_SQL["batch_prepared"], keys)
    row = connection.execute(_SQL["all_prepared"], keys).fetchone()
    if row is None or not row[0]:
        return None
    return decisions.decide(connection, attempt, Verdict.COMMIT, now=now)


def remember(
    connection: Connection[Any], attempt: Attempt, verdict: Verdict, *, deadline_at: datetime, now: datetime
) -> Verdict | None:
    """Write down a decision that a shard has carried out and this database has forgotten, as after a restoration.

    No shard carries out what was not decided, so one shard's word is enough; what it has carried out stands, and all
    others do the same. What is decided here already stands too.

    Args:
        connection: to the control database, in the caller's transaction.
        attempt: the one that the shard's word is of. Of a later one than is known here all batches are done again.
        verdict: what the shard has carried out.
        deadline_at: until when the other shards have time, at least.
        now: the present moment.

    Returns:
        what stands from the caller's commit on; None when nothing was forgotten, or it is no such recall.
    """
    keys = {"recall_id": attempt.recall_id, "attempt": attempt.number}
    connection.execute(_SQL["lock_recall"], keys)
    state = _state(connection, attempt.recall_id)
    if state is None or attempt.number < state.attempt.number:
        return None
    if attempt.number == state.attempt.number:
        if state.verdict is not None:
            return None
    elif not connection.execute(_SQL["take_over_attempt"], keys).rowcount:
        return None
    give_time(connection, [attempt.recall_id], deadline_at=deadline_at)
    return decisions.decide(connection, attempt, verdict, now=now)


def give_time(connection: Connection[Any], recall_ids: Collection[int], *, deadline_at: datetime) -> None:
    """Let shards have time for recalls until a moment, at least (R9)."""
    connection.execute(_SQL["give_time"], {"recall_ids": list(recall_ids), "deadline_at": deadline_at})


def let_go_again(connection: Connection[Any], recall_id: int, batch: int, shard: int, *, now: datetime) -> None:
    """Have a decided batch carried out once more, for what a preparation marked that came too late.

    Letting go of a batch that was counted without its shard leaves nothing there that such a preparation could find.
    """
    small = lanes.is_small(connection, recall_id)
    outbox.add(connection, [work.withdraw(recall_id, batch, shard, small=small)], due_at=now)


def give_up(connection: Connection[Any], recall_id: int, keys: Mapping[str, object], *, now: datetime) -> int:
    """Judge a locked recall whose deadline has passed; `keys` are those of `progress.give_up`.

    Undecided, it is released: a shard that did not answer may have a copy that has to stay, so what it holds is
    unreachable, and tried again as a whole when somebody asks. Decided, what a shard has not carried out yet counts as
    what it will be.

    Returns:
        how many batches were counted without their shard.
    """
    state = _state(connection, recall_id)
    if state is None:
        return 0
    parameters = {**keys, "attempt": state.attempt.number}
    verdict = state.verdict or decisions.decide(connection, state.attempt, Verdict.RELEASE, now=now)
    given_up = 0
    if verdict is Verdict.RELEASE:
        given_up += connection.execute(_SQL["give_up_unprepared"], parameters).rowcount
    if state.verdict is not None:
        # those that were just released have their work on the way: they are judged at the next look
        outcome = _ASSUMED[verdict]
        given_up += connection.execute(_SQL["assume_carried_out"], {**parameters, "outcome": outcome}).rowcount
    return given_up


def try_again(connection: Connection[Any], recall_id: int, *, deadline_at: datetime, now: datetime) -> None:
    """R12: begin another attempt of a released recall if a shard had not answered; the recall's row is locked."""
    keys = {"recall_id": recall_id, "deadline_at": deadline_at}
    rows = connection.execute(_SQL["reopen_released"], keys).fetchall()
    small = lanes.is_small(connection, recall_id)
    outbox.add(connection, [work.prepare(recall_id, batch, shard, small=small) for batch, shard in rows], due_at=now)


def _state(connection: Connection[Any], recall_id: int) -> _State | None:
    """Return where an all-or-nothing recall stands; None for any other."""
    row = connection.execute(_SQL["attempt"], {"recall_id": recall_id}).fetchone()
    if row is None or not Policy.from_mapping(row[1]).all_or_nothing:
        return None
    never_sent = row[3] is not None and Hold(row[3]).ended
    return _State(Attempt(recall_id, row[0]), Verdict(row[2]) if row[2] else None, never_sent)
