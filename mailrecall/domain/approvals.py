"""R21: large recalls of administrators wait for a second one, and lapse when nobody decides."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Requester

LAPSES_AFTER = timedelta(hours=72)


class Approval(StrEnum):
    """Where a request that needs a second administrator stands. Only one that waits is ever decided."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    LAPSED = "lapsed"


class Objection(StrEnum):
    """Why somebody cannot decide on a request."""

    NOT_FOUND = "not_found"
    """R24: it is not of their organisation, or they are no administrator."""
    OWN_REQUEST = "own_request"
    """It takes a second administrator, never the one who asked."""
    ALREADY_DECIDED = "already_decided"
    """Somebody was faster, or it has lapsed."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a decision is judged by."""

    organisation_id: int
    requested_by: int
    state: Approval
    lapses_at: datetime


def needs_approval(copies: int, policy: Policy, *, as_administrator: bool) -> bool:
    """Tell whether a request for so many copies has to wait; senders who recall their own mail never do."""
    return as_administrator and copies > policy.approval_above


def lapses_at(requested_at: datetime) -> datetime:
    """Return the last moment at which a request can be decided on; like R3's, it belongs to the time it ends."""
    return requested_at + LAPSES_AFTER


def standing(request: Waiting, *, now: datetime) -> Approval:
    """Return where a request stands at a moment, whether or not anybody has written down yet that it lapsed."""
    if request.state is Approval.WAITING and now > request.lapses_at:
        return Approval.LAPSED
    return request.state


def objection(decider: Requester, request: Waiting | None, *, now: datetime) -> Objection | None:
    """Judge whether somebody may decide on a request at a moment; None: they may.

    R3's window does not come into it: it was judged when the recall was asked for, once.
    """
    if request is None or not decider.administrator or decider.organisation_id != request.organisation_id:
        return Objection.NOT_FOUND
    if decider.account_id == request.requested_by:
        return Objection.OWN_REQUEST
    if standing(request, now=now) is not Approval.WAITING:
        return Objection.ALREADY_DECIDED
    return None
