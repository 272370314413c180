"""R21: requests for many recalls at once, and for recalls so large that a second administrator has to agree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from mailrecall.audit import trail
from mailrecall.domain.approvals import Approval, lapses_at, needs_approval
from mailrecall.domain.copies import message_of
from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.domain.policy import GroupMode, Policy
from mailrecall.domain.recalls import Requester, clean_reason
from mailrecall.domain.trail import Actor, Entry, Event
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries
from mailrecall.recalls import admission, previews
from mailrecall.recalls.admission import Asked, Judged

_SQL = queries.load(__package__, "batches.sql")

MOST_MESSAGES = 1000
RETRY = timedelta(seconds=1)
"""After which messages that were held by something else are tried again."""
NEWEST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A request as it was made and decided on."""

    id: int
    public_id: UUID
    organisation_id: int
    requested_by: int
    asked_by: str
    """The requester's address."""
    reason: str
    only_unread: bool
    requested_at: datetime
    copies: int
    """How many copies the recalls that it begins would try to take."""
    approval: str | None
    """`domain.approvals.Approval`, or None where it needs none."""
    lapses_at: datetime | None
    decided_at: datetime | None
    decided_by: str | None
    """The address of the administrator who decided."""

    @property
    def awaited(self) -> "Batch | None":
        """The request itself if it needs, or needed, approval."""
        return self if self.approval else None


@dataclass(frozen=True, slots=True)
class Progress:
    """R22: how far all recalls of a request have got."""

    messages: int
    refused: int
    accepted: int
    """Messages that have a recall."""
    settled: int
    succeeded: int
    partial: int
    failed: int
    recipients: int
    """Of all recalls that are planned, external ones included."""
    tally: Tally

    @property
    def waiting(self) -> int:
        """Messages that have neither: they wait for approval, or for a deposit to end."""
        return self.messages - self.refused - self.accepted

    @property
    def done(self) -> int:
        """Recipients that have an outcome."""
        return min(self.tally.total, self.recipients)

    @property
    def results(self) -> dict[str, int]:
        """R13: how many recalls came to what."""
        return {"succeeded": self.succeeded, "partial": self.partial, "failed": self.failed}

    @property
    def finished(self) -> bool:
        """Whether nothing will move any more by itself."""
        return self.waiting == 0 and self.settled == self.accepted


@dataclass(frozen=True, slots=True)
class Item:
    """What became of one message of a request."""

    position: int
    message_id: int
    refusal: str | None
    closed_at: datetime | None
    recall: UUID | None
    state: str | None
    result: str | None
    subject: str | None

    @property
    def recalled(self) -> "Item | None":
        """The item itself if it has a recall."""
        return self if self.recall else None


def request(
    connection: Connection[Any],
    requester: Requester,
    copy_ids: Sequence[int],
    reason: str,
    policy: Policy,
    *,
    only_unread: bool,
    now: datetime,
    deadline: timedelta,
) -> Batch:
    """Ask for messages to be taken back. Each is judged by itself, now and never again (R3).

    What may go ahead does so at once, unless all of it together is so much that it waits for approval.

    Args:
        connection: to the control database, in the caller's transaction.
        requester: the administrator.
        copy_ids: the messages; one named twice counts once.
        reason: why (R11).
        policy: the organisation's switches.
        only_unread: R20: take nothing of a message of which some copy has to stay by the time it is carried out.
        now: the present moment.
        deadline: how long a shard has to answer (R9).

    Raises:
        ReasonError: the reason is missing or too long.
    """
    reason = clean_reason(reason)
    message_ids = list(dict.fromkeys(message_of(copy_id) for copy_id in copy_ids))
    judged = admission.judge_all(connection, requester, message_ids, policy, now=now)
    begins = [one.message_id for one in judged if one.begins]
    copies = sum(previews.copies_of(connection, begins, policy, now=now).values())
    waits = needs_approval(copies, policy, as_administrator=True)
    request_id = insert(
        connection,
        requester,
        judged,
        reason,
        policy,
        copies=copies,
        waits=waits,
        only_unread=only_unread,
        now=now,
    )
    asked = Asked(request_id, requester.organisation_id, requester.account_id, reason)
    repeated = {one.message_id: one.repeats for one in judged if one.repeats is not None}
    entries = admission.refusals(requester, judged, reason)
    entries += admission.repeat(connection, asked, repeated, now=now, deadline=deadline)
    if waits:
        entries.append(asks_for_approval(requester, request_id, reason, len(begins), copies))
    else:
        begun, left = admission.admit(connection, asked, now=now, deadline=deadline)
        entries += begun
        if left:
            outbox.add(connection, [work.admit(request_id)], due_at=now + RETRY)
    trail.append_all(connection, entries, now=now)
    return get(connection, request_id)


def insert(
    connection: Connection[Any],
    requester: Requester,
    judged: Sequence[Judged],
    reason: str,
    policy: Policy,
    *,
    copies: int,
    waits: bool,
    only_unread: bool,
    now: datetime,
) -> int:
    """Write a request with its messages; return its number."""
    # R20: to take a message only if every copy still qualifies is what R13 calls all or nothing
    kept = replace(policy, group_mode=GroupMode.ALL_OR_NOTHING) if only_unread else policy
    row = connection.execute(
        _SQL["insert_request"],
        {
            "organisation_id": requester.organisation_id,
            "requested_by": requester.account_id,
            "reason": reason,
            "only_unread": only_unread,
            "policy": Jsonb(kept.to_mapping()),
            "requested_at": now,
            "copies": copies,
            "approval": Approval.WAITING if waits else None,
            "lapses_at": lapses_at(now) if waits else None,
        },
    ).fetchone()
    if row is None:
        raise AssertionError("INSERT … RETURNING gave no row")
    connection.execute(
        _SQL["insert_messages"],
        {
            "request_id": row[0],
            "message_ids": [one.message_id for one in judged],
            "refusals": [one.refused.refusal.value if one.refused else None for one in judged],
            "closed_at": [one.refused.closed_at if one.refused else None for one in judged],
            "as_administrator": [one.begins or one.refused is not None for one in judged],
            "recall_ids": [one.repeats for one in judged],
        },
    )
    request_id: int = row[0]
    return request_id


def asks_for_approval(requester: Requester, request_id: int, reason: str, messages: int, copies: int) -> Entry:
    """Return what to append to the audit trail of a request that waits (R27)."""
    return Entry(
        organisation_id=requester.organisation_id,
        event=Event.APPROVAL_ASKED,
        actor=Actor.account(requester.account_id),
        details={"request": request_id, "reason": reason, "messages": messages, "copies": copies},
    )


def get(connection: Connection[Any], request_id: int) -> Batch:
    """Return a request.

    Raises:
        LookupError: there is none of that number.
    """
    found = many(connection, [request_id])
    if not found:
        raise LookupError(f"There is no request {request_id}.")
    return found[request_id]


def many(connection: Connection[Any], request_ids: Sequence[int]) -> dict[int, Batch]:
    """Return those of some requests that there are, by their numbers; one query."""
    with connection.cursor(row_factory=class_row(Batch)) as cursor:
        found = cursor.execute(_SQL["view"], {"request_ids": list(request_ids)}).fetchall()
    return {batch.id: batch for batch in found}


def find(connection: Connection[Any], public_id: UUID) -> Batch | None:
    """Return a request by the id that people see."""
    row = connection.execute(_SQL["id_of"], {"public_id": public_id}).fetchone()
    return get(connection, row[0]) if row else None


def list_batches(
    connection: Connection[Any], organisation_id: int, *, waiting: bool, before: int, limit: int, now: datetime
) -> list[Batch]:
    """Return an organisation's requests, newest first.

    Args:
        connection: to the control database.
        organisation_id: whose.
        waiting: only those that can be decided on.
        before: only those with a smaller number; `NEWEST` for all.
        limit: how many at most.
        now: the present moment.
    """
    parameters = {
        "organisation_id": organisation_id,
        "waiting": waiting,
        "before": before,
        "limit": limit,
        "now": now,
    }
    with connection.cursor(row_factory=class_row(Batch)) as cursor:
        return cursor.execute(_SQL["list"], parameters).fetchall()


def items(connection: Connection[Any], request_id: int, *, after: int, limit: int) -> list[Item]:
    """Return what became of a request's messages, in the order in which they were named."""
    parameters = {"request_ids": [request_id], "after": after, "limit": limit}
    return [Item(*row) for _, *row in connection.execute(_SQL["messages"], parameters).fetchall()]


def items_of(connection: Connection[Any], request_ids: Sequence[int]) -> dict[int, list[Item]]:
    """Return what became of all messages of requests, by the requests' numbers; one query."""
    parameters = {"request_ids": list(request_ids), "after": 0, "limit": None}
    found: dict[int, list[Item]] = {request_id: [] for request_id in request_ids}
    for request_id, *row in connection.execute(_SQL["messages"], parameters).fetchall():
        found[request_id].append(Item(*row))
    return found


def progress(connection: Connection[Any], request_ids: Sequence[int]) -> dict[int, Progress]:
    """R22: return how far the recalls of requests have got; one query, cheap enough to be asked every second."""
    rows = connection.execute(_SQL["progress"], {"request_ids": list(request_ids)}).fetchall()
    found = {}
    for request_id, messages, refused, accepted, settled, succeeded, partial, failed, external, local, outcomes in rows:
        tally = Tally.from_slugs(outcomes) + Tally.of({Outcome.EXTERNAL: external})
        found[request_id] = Progress(
            messages, refused, accepted, settled, succeeded, partial, failed, local + external, tally
        )
    return found
