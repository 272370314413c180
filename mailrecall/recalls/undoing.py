"""R26: undoing a recall, as the control database knows it; always in the caller's transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from mailrecall.audit import trail
from mailrecall.directory.placement import hold_still
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Requester, State
from mailrecall.domain.trail import SYSTEM, Actor, Entry, Event
from mailrecall.domain.undo import Undoable, UndoRefusal, UndoRefused, UndoState, judge_undo
from mailrecall.mailstore.restoration import Restored
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.outbox.work import Work
from mailrecall.postgres import queries
from mailrecall.recalls.admission import Asked, entry
from mailrecall.recalls.progress import policy_of
from mailrecall.recalls.views import get

_SQL = queries.load(__package__, "undoing.sql")


@dataclass(frozen=True, slots=True)
class Undo:
    """How far the undo of a recall has got."""

    requested_by: int
    requested_at: datetime
    restored_at: datetime | None
    reason: str | None
    restored: int
    """Copies that are back, so far."""
    gone: int
    """Copies whose mailbox was closed: they stay gone."""

    @property
    def state(self) -> UndoState:
        """Whether all of it is done."""
        return UndoState.RESTORING if self.restored_at is None else UndoState.RESTORED


@dataclass(frozen=True, slots=True)
class Undoing:
    """The undo, and whether this request began it: asking again returns the same."""

    recall_id: int
    undo: Undo
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchToRestore:
    """What one restoration has to know."""

    done: bool
    ready: bool
    """False while the shard still has to deposit or withdraw."""
    message_id: int
    notice_id: int | None
    first: int
    last: int
    out_of_scope: Sequence[int]
    closed: Sequence[int]
    attempt: int


def request(
    connection: Connection[Any], requester: Requester, public_id: UUID, reason: str | None, *, now: datetime
) -> Undoing | UndoRefused:
    """Ask for what a recall took to be put back; written with the work that it sets off.

    Args:
        connection: to the control database.
        requester: who asks.
        public_id: the recall.
        reason: why, for the audit trail; None where none is given.
        now: the moment that decides whether the retention is over.
    """
    hold_still(connection)  # what is planned are the batches as they lie now
    request_ids = [row[0] for row in connection.execute(_SQL["lock_requests"], {"public_id": public_id}).fetchall()]
    found = _lock(connection, public_id)
    ours = found if found and found.undoable.organisation_id == requester.organisation_id else None
    if ours and requester.administrator and (undo := find(connection, ours.recall_id)) is not None:
        return Undoing(ours.recall_id, undo, created=False)
    refused = judge_undo(requester, ours.undoable if ours else None, now=now)
    _record(connection, requester, ours, reason, refused, now=now)
    if refused is not None or ours is None:
        return refused or UndoRefused(UndoRefusal.NOT_FOUND)
    keys = {"recall_id": ours.recall_id, "requested_by": requester.account_id, "reason": reason, "now": now}
    connection.execute(_SQL["begin"], keys)
    answering = {**keys, "message_id": ours.message_id, "request_ids": request_ids}
    answered = [Asked(*row) for row in connection.execute(_SQL["answer_requests"], answering).fetchall()]
    batches = connection.execute(_SQL["plan_batches"], keys).fetchall()
    outbox.add(connection, [work.restore(ours.recall_id, *batch) for batch in sorted(batches)], due_at=now)
    trail.append_all(
        connection,
        [entry(asked, Event.RECALL_REPEATED, ours.message_id, ours.recall_id) for asked in answered],
        now=now,
    )
    return Undoing(ours.recall_id, _begun(connection, ours.recall_id), created=True)


def find(connection: Connection[Any], recall_id: int) -> Undo | None:
    """Return the undo of a recall, if anybody asked for one."""
    row = connection.execute(_SQL["find"], {"recall_id": recall_id}).fetchone()
    return Undo(*row) if row else None


def many(connection: Connection[Any], recall_ids: Collection[int]) -> dict[int, Undo]:
    """Return the undos of recalls, by the recalls' numbers, with one statement for all of them."""
    rows = connection.execute(_SQL["find_many"], {"recall_ids": list(recall_ids)}).fetchall()
    return {recall_id: Undo(*row) for recall_id, *row in rows}


def batch_to_restore(connection: Connection[Any], recall_id: int, batch: int) -> BatchToRestore | None:
    """Return a batch of an undo, or None when there is no such batch."""
    policy = policy_of(connection, recall_id)
    if policy is None:
        return None
    keys = {"recall_id": recall_id, "batch": batch, "furthest": policy.furthest_in_scope.value}
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["batch_to_restore"], keys).fetchone()
    return BatchToRestore(**{**row, "out_of_scope": row["out_of_scope"] or ()}) if row else None


def record_batch(connection: Connection[Any], recall_id: int, batch: int, restored: Restored, *, now: datetime) -> bool:
    """Record a batch as put back; a second time changes nothing.

    Returns:
        whether it was the last: the undo is complete, and the message can be recalled again.
    """
    keys = {"recall_id": recall_id, "batch": batch, "now": now}
    recall = connection.execute(_SQL["lock"], keys).fetchone()
    parameters = {**keys, "restored": restored.restored, "gone": restored.gone}
    if recall is None or not connection.execute(_SQL["batch_restored"], parameters).rowcount:
        return False
    left = connection.execute(_SQL["batches_left"], keys).fetchone()
    if left is None or left[0]:
        return False
    connection.execute(_SQL["undone"], keys)
    undo = _begun(connection, recall_id)
    finished = Entry(
        organisation_id=recall[0],
        event=Event.UNDO_FINISHED,
        actor=SYSTEM,
        recall_id=recall_id,
        message_id=recall[1],
        details={"restored": undo.restored, "gone": undo.gone},
    )
    trail.append(connection, finished, now=now)
    return True


def stuck(connection: Connection[Any], *, before: datetime) -> list[Work]:
    """Return what is to be done of undos asked for before a moment, and that no work would do; it should be nothing."""
    return [work.restore(*row) for row in connection.execute(_SQL["stuck"], {"before": before}).fetchall()]


@dataclass(frozen=True, slots=True)
class _Found:
    recall_id: int
    message_id: int
    undoable: Undoable


def _lock(connection: Connection[Any], public_id: UUID) -> _Found | None:
    row = connection.execute(_SQL["lock_recall"], {"public_id": public_id}).fetchone()
    view = get(connection, row[0]) if row else None
    if row is None or view is None:
        return None
    recall_id, organisation_id, message_id, state, settled_at, policy, purged, never_left = row
    switches = Policy.from_mapping(policy)
    # a shard that was given up may have taken copies after all, but not where none go unless all do (R13)
    maybe_taken = 0 if switches.all_or_nothing else view.tally[Outcome.UNREACHABLE]
    undoable = Undoable(
        organisation_id=organisation_id,
        state=State(state),
        settled_at=settled_at,
        retention=timedelta(seconds=switches.retention),
        taken=view.tally[Outcome.RECALLED] + maybe_taken,
        never_left=bool(never_left),
        purged=purged,
    )
    return _Found(recall_id, message_id, undoable)


def _record(
    connection: Connection[Any],
    requester: Requester,
    found: _Found | None,
    reason: str | None,
    refused: UndoRefused | None,
    *,
    now: datetime,
) -> None:
    """R27: say what was asked for, and what was answered; of other organisations' recalls nothing (R24)."""
    details: dict[str, object] = {"reason": reason} if reason else {}
    recorded = Entry(
        organisation_id=requester.organisation_id,
        event=Event.UNDO_REFUSED if refused else Event.UNDO_REQUESTED,
        actor=Actor.account(requester.account_id),
        recall_id=found.recall_id if found else None,
        message_id=found.message_id if found else None,
        details={**details, "refusal": refused.refusal.value} if refused else details,
    )
    trail.append(connection, recorded, now=now)


def _begun(connection: Connection[Any], recall_id: int) -> Undo:
    undo = find(connection, recall_id)
    if undo is None:
        raise AssertionError(f"the undo of recall {recall_id} vanished inside its own transaction")
    return undo
