"""R13: preparing one batch of an all-or-nothing recall on its shard, and letting it go (docs/all-or-nothing.md).

Preparing promises that the batch's copies can all be withdrawn, whenever the decision comes: they bear a mark, under
which nothing that keeps a copy happens to them before the decision. It takes nothing away and shows nowhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow

from mailrecall.domain.copies import PREPARED
from mailrecall.domain.outcomes import BLOCKING_FACTS, Outcome
from mailrecall.domain.recalls import Verdict
from mailrecall.mailstore.batch import Batch
from mailrecall.mailstore.changes import Change, Kind, announce
from mailrecall.mailstore.membership import RangedStatements

_NO_REASON = " && ".join(f'@.key != "{outcome.slug}"' for outcome in (Outcome.EXTERNAL, Outcome.UNREACHABLE))
# what was taken was decided to go, and so was what an undo put back (R26); a reason to stay tells of the contrary
_VERDICT_CASE = f"""
       CASE WHEN w.counts @? '$.*.{Outcome.RECALLED.slug}'
                 OR EXISTS (SELECT FROM restoration r WHERE r.recall_id = w.recall_id AND r.batch = w.batch)
            THEN '{Verdict.COMMIT}'
            WHEN w.counts @? '$.*.keyvalue() ? ({_NO_REASON})' THEN '{Verdict.RELEASE}'
       END"""

_STATEMENTS = RangedStatements(
    "preparation.sql",
    {"BLOCKING": str(BLOCKING_FACTS.value), "PREPARED": str(PREPARED), "VERDICT_CASE": _VERDICT_CASE},
)
_SQL = _STATEMENTS.bare


class Prepared(Enum):
    """What came of preparing a batch."""

    READY = "ready"
    """Every copy in scope qualifies, and waits for the decision; or none was delivered yet, nor will be before it."""
    REFUSED = "refused"
    """Some copy has to stay, or is gone; nothing waits."""
    BROKEN = "broken"
    """An earlier run prepared the batch, and a copy of it has to stay since: it was decided that all stay, whether or
    not anybody remembers. What else the earlier run prepared waits until that is carried out."""
    OVER = "over"
    """The recall was decided, and the decision carried out here; nothing waits."""


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What a batch's shard tells of a decision that it has carried out, whether or not anybody else remembers it."""

    recall_id: int
    batch: int
    attempt: int
    verdict: Verdict | None
    """None where nothing went and nothing had a reason to stay: nobody was in scope (R1), or every copy failed (R9)."""


class _NotReadyError(Exception):
    """Rolls back what was written so far."""

    def __init__(self, why: Prepared) -> None:
        super().__init__(why.value)
        self.why = why


def prepare(connection: Connection[Any], batch: Batch, *, now: datetime) -> Prepared:
    """Prepare a batch in the caller's transaction; a second time finds what the first did, and looks at it again."""
    deciding = _STATEMENTS.enter(connection, batch)
    try:
        # a block of its own: on a refusal nothing of it may stay
        with connection.transaction():
            _prepare(connection, deciding, batch, now=now)
    except _NotReadyError as not_ready:
        return not_ready.why
    return Prepared.READY


def _prepare(connection: Connection[Any], deciding: Mapping[str, bytes], batch: Batch, *, now: datetime) -> None:
    keys: dict[str, object] = {**batch.keys, "now": now}
    begun = connection.execute(_SQL["begin"], keys).rowcount
    if connection.execute(_SQL["is_over"], keys).fetchone() is not None:
        raise _NotReadyError(Prepared.OVER)
    if connection.execute(_SQL["claim_deposit"], keys).rowcount:
        return
    wanted = batch.recipients - len(batch.out_of_scope)
    qualifying, marked = connection.execute(deciding["count_qualifying"], keys).fetchall()[0]
    if not begun and qualifying == marked == wanted:
        return  # an earlier run did it
    # after an earlier run a release may have been decided and forgotten: what a reader did is then all that tells of it
    if qualifying != wanted or connection.execute(deciding["mark"], keys).rowcount != wanted:
        raise _NotReadyError(Prepared.REFUSED if begun else Prepared.BROKEN)
    if connection.execute(_SQL["has_duplicates"], keys).fetchone() is not None:
        connection.execute(_SQL["mark_duplicates"], keys)
    # open sessions look again, and from then on each time they are asked
    announce(connection, Change(batch.message_id, batch.first, batch.last, Kind.CHANGED))


def carried_out(connection: Connection[Any], batch: Batch) -> CarriedOut | None:
    """Return what was carried out of a batch; None when nothing was."""
    row = connection.execute(_SQL["carried_out"], batch.keys).fetchone()
    return _carried_out(row) if row else None


def carried_out_here(
    connection: Connection[Any], *, since: datetime, after: tuple[int, int], limit: int
) -> list[CarriedOut]:
    """Return a page, after recall and batch, of what a shard has carried out, of recalls of any mode."""
    keys = {"since": since, "after": after[0], "after_batch": after[1], "limit": limit}
    return [_carried_out(row) for row in connection.execute(_SQL["carried_out_here"], keys)]


def _carried_out(row: TupleRow) -> CarriedOut:
    recall_id, batch, attempt, verdict = row
    return CarriedOut(recall_id, batch, attempt, Verdict(verdict) if verdict else None)


def lock(connection: Connection[Any], batch: Batch, *, now: datetime) -> bool:
    """Begin phase two, in the caller's transaction; `end` must follow.

    Returns:
        False when the batch was prepared for a later attempt already: there is nothing to do any more.
    """
    keys = {**batch.keys, "now": now}
    connection.execute(_SQL["lock"], keys)
    return connection.execute(_SQL["newer"], keys).fetchone() is None


def let_go(connection: Connection[Any], batch: Batch) -> bool:
    """Release a locked batch: its copies are what they were before, and what was not delivered can be.

    Returns:
        whether the batch has been delivered; if not, it will be.
    """
    keys = batch.keys
    connection.execute(_STATEMENTS.enter(connection, batch)["unmark"], keys)
    connection.execute(_SQL["unmark_duplicates"], keys)
    connection.execute(_SQL["unclaim_deposit"], keys)
    delivered = connection.execute(_SQL["is_deposited"], keys).fetchone() is not None
    end(connection, keys)
    return delivered


def end(connection: Connection[Any], keys: Mapping[str, object]) -> None:
    """End phase two: nothing of this batch waits for a decision any more."""
    connection.execute(_SQL["end"], keys)
