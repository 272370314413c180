"""R21: what waits for a second administrator: approved, rejected, or lapsed. The request's row lock decides races."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection

from mailrecall.audit import trail
from mailrecall.domain.approvals import Approval, Objection, Waiting, objection, standing
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Accepted, Requester
from mailrecall.domain.trail import SYSTEM, Actor, Entry, Event
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries
from mailrecall.recalls import admission, batches
from mailrecall.recalls.admission import Asked, Judged
from mailrecall.recalls.batches import RETRY, Batch

_SQL = queries.load(__package__, "batches.sql")

_EVENTS = {
    Approval.APPROVED: Event.RECALL_APPROVED,
    Approval.REJECTED: Event.RECALL_REJECTED,
    Approval.LAPSED: Event.RECALL_LAPSED,
}


@dataclass(frozen=True, slots=True)
class Objected:
    """Why a request was not decided on, with where it stands."""

    objection: Objection
    standing: Approval | None


def ask_for_one(
    connection: Connection[Any],
    requester: Requester,
    message_id: int,
    reason: str,
    policy: Policy,
    *,
    copies: int,
    now: datetime,
) -> tuple[Batch, Entry | None]:
    """Have one message's recall wait for approval; asked again, the request that waits is the answer (R12).

    Returns:
        the request, and what to append to the audit trail if it is new.
    """
    keys = {"message_id": message_id, "organisation_id": requester.organisation_id, "now": now}
    row = connection.execute(_SQL["waiting_for_message"], keys).fetchone()
    if row is not None:
        return batches.get(connection, row[0]), None
    request_id = batches.insert(
        connection,
        requester,
        [Judged(message_id, Accepted(as_administrator=True))],
        reason,
        policy,
        copies=copies,
        waits=True,
        only_unread=False,
        now=now,
    )
    entry = batches.asks_for_approval(requester, request_id, reason, 1, copies)
    return batches.get(connection, request_id), entry


def decide(
    connection: Connection[Any],
    decider: Requester,
    public_id: UUID,
    decision: Approval,
    *,
    now: datetime,
    deadline: timedelta,
) -> Batch | Objected:
    """Approve or reject what waits. Of two who decide at once, one does; the other learns where it stands.

    The audit trail gets the objection too (R27), so the caller commits either way; of other organisations' requests it
    gets nothing (R24).

    Args:
        connection: to the control database, in the caller's transaction.
        decider: the second administrator.
        public_id: the request.
        decision: `APPROVED` or `REJECTED`.
        now: the present moment; it is not the one that R3 asks for.
        deadline: how long a shard has to answer (R9), from now on.
    """
    found = connection.execute(_SQL["id_of"], {"public_id": public_id}).fetchone()
    asked, waiting = _lock(connection, found[0]) if found else (None, None)
    objected = objection(decider, waiting, now=now)
    if asked is None or waiting is None or objected is Objection.NOT_FOUND:
        return Objected(Objection.NOT_FOUND, None)
    if objected is not None:
        trail.append(connection, _refused(asked, decider, decision, objected), now=now)
        return Objected(objected, standing(waiting, now=now))
    entries = [_write(connection, asked, decision, Actor.account(decider.account_id), now=now)]
    if decision is Approval.APPROVED:
        begun, left = admission.admit(connection, asked, now=now, deadline=deadline)
        entries += begun
        if left:
            outbox.add(connection, [work.admit(asked.id)], due_at=now + RETRY)
    trail.append_all(connection, entries, now=now)
    return batches.get(connection, asked.id)


def overdue(connection: Connection[Any], *, now: datetime) -> Sequence[int]:
    """Return requests that nobody decided on in time."""
    return [request_id for (request_id,) in connection.execute(_SQL["overdue"], {"now": now}).fetchall()]


def lapse(connection: Connection[Any], request_id: int, *, now: datetime) -> bool:
    """Write down that a request has lapsed; False if it was decided on, or its time is not over."""
    asked, waiting = _lock(connection, request_id)
    if asked is None or waiting is None or waiting.state is not Approval.WAITING:
        return False
    if standing(waiting, now=now) is not Approval.LAPSED:
        return False
    trail.append(connection, _write(connection, asked, Approval.LAPSED, SYSTEM, now=now), now=now)
    return True


def admit_left(
    connection: Connection[Any], request_id: int, *, now: datetime, deadline: timedelta
) -> tuple[list[Entry], int]:
    """Begin those recalls of a request that could not begin before; see `admission.admit`."""
    asked, waiting = _lock(connection, request_id)
    if asked is None or (waiting is not None and waiting.state is not Approval.APPROVED):
        return [], 0
    return admission.admit(connection, asked, now=now, deadline=deadline)


def revive(connection: Connection[Any], *, before: datetime, now: datetime) -> Sequence[int]:
    """Give requests made before a moment that lost their work new work; return which. There should be none."""
    stuck = [request_id for (request_id,) in connection.execute(_SQL["stuck"], {"before": before}).fetchall()]
    outbox.add(connection, [work.admit(request_id) for request_id in stuck], due_at=now)
    return stuck


def _lock(connection: Connection[Any], request_id: int) -> tuple[Asked | None, Waiting | None]:
    """Lock a request; the second is None where it needs no approval."""
    row = connection.execute(_SQL["lock_request"], {"request_id": request_id}).fetchone()
    if row is None:
        return None, None
    asked = Asked(row[0], row[1], row[2], row[3])
    return asked, Waiting(row[1], row[2], Approval(row[4]), row[5]) if row[4] else None


def _refused(asked: Asked, decider: Requester, decision: Approval, objected: Objection) -> Entry:
    return Entry(
        organisation_id=asked.organisation_id,
        event=Event.APPROVAL_REFUSED,
        actor=Actor.account(decider.account_id),
        details={"request": asked.id, "decision": decision.value, "refusal": objected.value},
    )


def _write(connection: Connection[Any], asked: Asked, decision: Approval, actor: Actor, *, now: datetime) -> Entry:
    connection.execute(
        _SQL["decide"], {"request_id": asked.id, "approval": decision, "decided_by": actor.account_id, "now": now}
    )
    if decision is not Approval.APPROVED:
        connection.execute(_SQL["refuse_open"], {"request_id": asked.id})
    return Entry(
        organisation_id=asked.organisation_id,
        event=_EVENTS[decision],
        actor=actor,
        details={"request": asked.id},
    )
