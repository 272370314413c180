"""Asking for a recall: judged once, written with the work it sets off, in the caller's one transaction."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from mailrecall.audit import trail
from mailrecall.domain.approvals import needs_approval
from mailrecall.domain.copies import message_of
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import (
    Refusal,
    Refused,
    Requester,
    Subject,
    clean_reason,
    judge,
    judge_repeat,
)
from mailrecall.domain.trail import Actor, Entry, Event
from mailrecall.messages import holding
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries
from mailrecall.recalls import approvals, previews, subjects
from mailrecall.recalls.batches import Batch
from mailrecall.recalls.views import RecallView, get

_SQL = queries.load(__package__, "recalls.sql")


@dataclass(frozen=True, slots=True)
class Requested:
    """The recall, and whether this request began it (R12: asking again returns the same one)."""

    recall: RecallView
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitsApproval(Refused):
    """R21: so many copies that a second administrator has to agree; the request waits for that."""

    batch: Batch
    recorded: Entry | None
    """What the audit trail gets of it; nothing if it waited before."""


def request(
    connection: Connection[Any],
    requester: Requester,
    copy_id: int,
    reason: str,
    policy: Policy,
    *,
    now: datetime,
    deadline: timedelta,
) -> Requested | Refused:
    """Ask for a message to be taken back.

    Args:
        connection: to the control database, in the caller's transaction.
        requester: who asks.
        copy_id: the message, or the author's copy of it.
        reason: why (R11).
        policy: the requester's organisation's switches; the recall keeps them as they are now.
        now: the moment that decides whether the window is open (R3).
        deadline: how long a shard has to answer (R9).

    Raises:
        ReasonError: the reason is missing or too long.
        psycopg.errors.LockNotAvailable: a deposit of the message hangs with its shard; asking again later may succeed.
    """
    reason = clean_reason(reason)
    message_id = message_of(copy_id)
    requested = _request(connection, requester, message_id, reason, policy, now=now, deadline=deadline)
    # R27: last, because whatever else the organisation records waits from here to the commit
    if isinstance(requested, AwaitsApproval):
        trail.append_all(connection, [requested.recorded] if requested.recorded else [], now=now)
    else:
        trail.append(connection, _recorded(requester, message_id, reason, requested), now=now)
    return requested


def _recorded(requester: Requester, message_id: int, reason: str, requested: Requested | Refused) -> Entry:
    """R27: say what was asked for, and what was answered."""
    details: dict[str, object] = {"reason": reason}
    if isinstance(requested, Refused):
        event, recall_id = Event.RECALL_REFUSED, None
        details["refusal"] = requested.refusal.value
    else:
        event = Event.RECALL_REQUESTED if requested.created else Event.RECALL_REPEATED
        recall_id = requested.recall.id
        details["as_administrator"] = requested.recall.as_administrator
    return Entry(
        organisation_id=requester.organisation_id,
        event=event,
        actor=Actor.account(requester.account_id),
        recall_id=recall_id,
        message_id=message_id,
        details=details,
    )


def _request(
    connection: Connection[Any],
    requester: Requester,
    message_id: int,
    reason: str,
    policy: Policy,
    *,
    now: datetime,
    deadline: timedelta,
) -> Requested | Refused:
    connection.execute(_SQL["wait_briefly"])
    connection.execute(_SQL["lock_subject"], {"message_id": message_id})
    subject = subjects.subject_of(connection, message_id, policy)
    existing = connection.execute(_SQL["recall_of_message"], {"message_id": message_id}).fetchone()
    if existing:
        return _repeat(connection, requester, existing, subject, now=now, deadline=deadline)
    verdict = judge(
        requester, subject, policy, recent_recalls=subjects.recent_recalls(connection, requester, now=now), now=now
    )
    if isinstance(verdict, Refused):
        return verdict
    if verdict.as_administrator:
        copies = previews.copies_of(connection, [message_id], policy, now=now)[message_id]
        if needs_approval(copies, policy, as_administrator=True):
            batch, recorded = approvals.ask_for_one(
                connection, requester, message_id, reason, policy, copies=copies, now=now
            )
            return AwaitsApproval(Refusal.APPROVAL_REQUIRED, batch=batch, recorded=recorded)
    inserted = connection.execute(
        _SQL["insert_recall"],
        {
            "message_id": message_id,
            "organisation_id": requester.organisation_id,
            "requested_by": requester.account_id,
            "as_administrator": verdict.as_administrator,
            "reason": reason,
            "policy": Jsonb(policy.to_mapping()),
            "requested_at": now,
            "deadline_at": now + deadline,
            "tombstone": policy.tombstone,
        },
    ).fetchone()
    if inserted is None:
        raise AssertionError("INSERT … RETURNING gave no row")
    # R30: from here on no moderator can release it
    holding.cancel(connection, message_id, requester=requester.account_id, now=now)
    outbox.add(connection, [work.plan(inserted[0])], due_at=now)
    return Requested(_existing(connection, inserted[0]), created=True)


def _repeat(
    connection: Connection[Any],
    requester: Requester,
    existing: tuple[int, int, int],
    subject: Subject | None,
    *,
    now: datetime,
    deadline: timedelta,
) -> Requested | Refused:
    recall_id, requested_by, organisation_id = existing
    verdict = judge_repeat(requester, subject, requested_by=requested_by, organisation_id=organisation_id)
    if isinstance(verdict, Refused):
        return verdict
    subjects.try_again(connection, recall_id, now=now, deadline=deadline)
    return Requested(_existing(connection, recall_id), created=False)


def _existing(connection: Connection[Any], recall_id: int) -> RecallView:
    view = get(connection, recall_id)
    if view is None:
        raise AssertionError(f"recall {recall_id} vanished inside its own transaction")
    return view
