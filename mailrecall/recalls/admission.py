"""R21: judging many messages at once, and beginning their recalls, by statements on sets of rows.

What a single request does for one message under one lock (`requests.request`), this does for as many as are free. A
message that a deposit holds this very moment is left for the next attempt, so that it holds up no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import (
    Accepted,
    Channel,
    Refusal,
    Refused,
    Requester,
    Subject,
    judge,
    judge_repeat,
)
from mailrecall.domain.trail import Actor, Entry, Event
from mailrecall.messages import holding
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries
from mailrecall.recalls import subjects

_SQL = queries.load(__package__, "batches.sql")


@dataclass(frozen=True, slots=True)
class Judged:
    """A message with the verdict on it."""

    message_id: int
    verdict: Accepted | Refused
    recall_id: int | None = None
    """R12: the recall that there is already."""

    @property
    def refused(self) -> Refused | None:
        """The refusal, if it is one."""
        return self.verdict if isinstance(self.verdict, Refused) else None

    @property
    def repeats(self) -> int | None:
        """The recall that is the answer (R12), if there is one and the verdict lets the requester have it."""
        return self.recall_id if isinstance(self.verdict, Accepted) else None

    @property
    def begins(self) -> bool:
        """Whether a recall is to begin, in an administrator's capacity."""
        return isinstance(self.verdict, Accepted) and self.verdict.as_administrator and self.recall_id is None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as admitting its messages needs to know."""

    id: int
    organisation_id: int
    requested_by: int
    reason: str


def judge_all(
    connection: Connection[Any], requester: Requester, message_ids: Sequence[int], policy: Policy, *, now: datetime
) -> list[Judged]:
    """Judge each message by itself, in the order given (R3, R6, R10, R24); one refusal never stops the others."""
    rows = connection.execute(
        _SQL["subjects"], {"message_ids": list(message_ids), "in_scope": list(range(policy.furthest_in_scope + 1))}
    ).fetchall()
    found = {row[0]: row for row in rows}
    # the whole request counts as one
    recent = subjects.recent_recalls(connection, requester, now=now)
    judged = []
    for message_id in message_ids:
        row = found.get(message_id)
        if row is None:
            judged.append(Judged(message_id, Refused(Refusal.NOT_FOUND)))
            continue
        subject = Subject(row[1], row[2], Channel(row[3]), row[4], row[5])
        if row[6] is not None:
            verdict = judge_repeat(requester, subject, requested_by=row[7], organisation_id=row[8])
        else:
            verdict = judge(requester, subject, policy, recent_recalls=recent, now=now)
        judged.append(Judged(message_id, verdict, row[6]))
    return judged


def admit(connection: Connection[Any], asked: Asked, *, now: datetime, deadline: timedelta) -> tuple[list[Entry], int]:
    """Begin the recalls of a request's messages, as far as their rows are free; any number of runs begins each once.

    Args:
        connection: to the control database, in the caller's transaction.
        asked: the request, which is approved or needs no approval.
        now: the present moment.
        deadline: how long a shard has to answer (R9).

    Returns:
        what to append to the audit trail at the end of the transaction, and how many messages are left for another run.
    """
    keys = {"request_id": asked.id}
    gone = [row[0] for row in connection.execute(_SQL["vanished"], keys).fetchall()]
    free = [row[0] for row in connection.execute(_SQL["lock_open"], keys).fetchall()]
    created = connection.execute(
        _SQL["insert_recalls"], {**keys, "message_ids": free, "deadline_at": now + deadline}
    ).fetchall()
    begun = {message_id: recall_id for recall_id, message_id in created}
    linked = connection.execute(_SQL["link"], keys).fetchall()
    others = {message_id: recall_id for recall_id, message_id in linked if message_id not in begun}
    repeated = repeat(connection, asked, others, now=now, deadline=deadline)
    outbox.add(connection, [work.plan(recall_id) for recall_id in begun.values()], due_at=now)
    # last, because it writes to the audit trail, for whose head those wait who hold a recall's row
    for message_id in holding.waiting_among(connection, list(begun), now=now):
        # R30: from here on no moderator can release it
        holding.cancel(connection, message_id, requester=asked.requested_by, now=now)
    left = connection.execute(_SQL["left_open"], keys).fetchone()
    entries = [
        *(entry(asked, Event.RECALL_REFUSED, message_id, None) for message_id in gone),
        *(entry(asked, Event.RECALL_REQUESTED, message_id, recall_id) for message_id, recall_id in begun.items()),
        *repeated,
    ]
    return entries, left[0] if left else 0


def repeat(
    connection: Connection[Any], asked: Asked, recalls: Mapping[int, int], *, now: datetime, deadline: timedelta
) -> list[Entry]:
    """R12: have what no shard answered for tried again, of messages that have a recall already.

    A message that a deposit holds this moment is passed over, for the deposit may be acting on how the recall stands.

    Args:
        connection: to the control database, in the caller's transaction.
        asked: the request.
        recalls: each message's.
        now: the present moment.
        deadline: how long a shard has to answer (R9).

    Returns:
        what to append to the audit trail at the end of the transaction.
    """
    for (recall_id,) in connection.execute(_SQL["reopenable"], {"recall_ids": list(recalls.values())}).fetchall():
        subjects.try_again(connection, recall_id, now=now, deadline=deadline)
    return [entry(asked, Event.RECALL_REPEATED, message_id, recall_id) for message_id, recall_id in recalls.items()]


def refusals(requester: Requester, judged: Sequence[Judged], reason: str) -> list[Entry]:
    """Return what to append to the audit trail of refused messages (R27)."""
    return [
        Entry(
            organisation_id=requester.organisation_id,
            event=Event.RECALL_REFUSED,
            actor=Actor.account(requester.account_id),
            message_id=one.message_id,
            details={"reason": reason, "refusal": one.refused.refusal.value},
        )
        for one in judged
        if one.refused
    ]


def entry(asked: Asked, event: Event, message_id: int, recall_id: int | None) -> Entry:
    """R27: say what became of one message of a request; no recall: there is no such message."""
    details: dict[str, object] = {"reason": asked.reason, "request": asked.id}
    if recall_id is None:
        details["refusal"] = Refusal.NOT_FOUND.value
    return Entry(
        organisation_id=asked.organisation_id,
        event=event,
        actor=Actor.account(asked.requested_by),
        recall_id=recall_id,
        message_id=message_id,
        details=details,
    )
