"""Asking for a recall: judged once, written with the work it sets off, in the caller's one transaction."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from mailrecall.domain.copies import message_of
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import (
    Channel,
    Refusal,
    Refused,
    Requester,
    Subject,
    clean_reason,
    judge,
)
from mailrecall.messages import holding
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries
from mailrecall.recalls.views import RecallView, get

_SQL = queries.load(__package__, "recalls.sql")


@dataclass(frozen=True, slots=True)
class Requested:
    """The recall, and whether this request began it (R12: asking again returns the same one)."""

    recall: RecallView
    created: bool


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
    connection.execute(_SQL["wait_briefly"])
    connection.execute(_SQL["lock_subject"], {"message_id": message_id})
    row = connection.execute(
        _SQL["subject"], {"message_id": message_id, "in_scope": list(range(policy.furthest_in_scope + 1))}
    ).fetchone()
    subject = Subject(row[1], row[2], Channel(row[3]), row[4], row[5]) if row else None
    existing = connection.execute(_SQL["recall_of_message"], {"message_id": message_id}).fetchone()
    if existing:
        return _repeat(connection, requester, existing, subject, now=now, deadline=deadline)
    recent = connection.execute(
        _SQL["recent_recalls"], {"account_id": requester.account_id, "since": now - timedelta(hours=1)}
    ).fetchone()
    verdict = judge(requester, subject, policy, recent_recalls=recent[0] if recent else 0, now=now)
    if isinstance(verdict, Refused):
        return verdict
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
    author = subject is not None and subject.sender_account_id == requester.account_id
    if organisation_id != requester.organisation_id:
        return Refused(Refusal.NOT_FOUND)
    if not (author or requester.administrator or requested_by == requester.account_id):
        return Refused(Refusal.NOT_SENDER)
    # the recall before its batches, as everybody else locks them
    connection.execute(_SQL["lock_recall"], {"recall_id": recall_id})
    rows = connection.execute(
        _SQL["reopen_unreachable"], {"recall_id": recall_id, "deadline_at": now + deadline}
    ).fetchall()
    outbox.add(connection, [work.withdraw(recall_id, batch, shard) for batch, shard in rows], due_at=now)
    return Requested(_existing(connection, recall_id), created=False)


def _existing(connection: Connection[Any], recall_id: int) -> RecallView:
    view = get(connection, recall_id)
    if view is None:
        raise AssertionError(f"recall {recall_id} vanished inside its own transaction")
    return view
