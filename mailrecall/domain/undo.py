"""R26: who may undo a recall, and until when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailrecall.domain.recalls import Requester, State


class UndoRefusal(StrEnum):
    """Why a recall is not undone, a closed set."""

    NOT_FOUND = "not_found"
    NOT_ALLOWED = "not_allowed"
    """Only administrators undo; whoever asked for the recall does not."""
    NOT_SETTLED = "not_settled"
    NOTHING_TO_RESTORE = "nothing_to_restore"
    """No copy was taken, or the message never left: it was recalled while it waited (R28, R30)."""
    RETENTION_OVER = "retention_over"


class UndoState(StrEnum):
    """How far an undo has got."""

    RESTORING = "restoring"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoable:
    """What a request to undo is judged by: the recall as the control database knows it."""

    organisation_id: int
    state: State
    settled_at: datetime | None
    retention: timedelta
    """As the organisation's policy had it when the recall was judged."""
    taken: int
    """Copies that were recalled, or may have been: on a shard that did not answer."""
    never_left: bool
    """The message was recalled while it was held or waited to be sent, or after a moderator had rejected it."""
    purged: bool


@dataclass(frozen=True, slots=True)
class UndoRefused:
    """A refusal, with the moment until which the recall could have been undone where that is the reason."""

    refusal: UndoRefusal
    closed_at: datetime | None = None


def restorable_until(settled_at: datetime, retention: timedelta) -> datetime:
    """Return the last moment at which what a recall took can be put back; that moment belongs to the time."""
    return settled_at + retention


def judge_undo(requester: Requester, recall: Undoable | None, *, now: datetime) -> UndoRefused | None:
    """Judge a request to undo a recall; None lets it go ahead.

    What lies outside the requester's organisation does not exist for them (R24).
    """
    if recall is None or recall.organisation_id != requester.organisation_id:
        return UndoRefused(UndoRefusal.NOT_FOUND)
    if not requester.administrator:
        return UndoRefused(UndoRefusal.NOT_ALLOWED)
    if recall.state is not State.SETTLED or recall.settled_at is None:
        return UndoRefused(UndoRefusal.NOT_SETTLED)
    closes_at = restorable_until(recall.settled_at, recall.retention)
    if recall.purged or now > closes_at:
        return UndoRefused(UndoRefusal.RETENTION_OVER, closed_at=closes_at)
    if recall.never_left or recall.taken == 0:
        return UndoRefused(UndoRefusal.NOTHING_TO_RESTORE)
    return None
