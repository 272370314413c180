"""Recalls over HTTP: asking for one, and seeing what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection

from mailrecall import logs
from mailrecall.directory import lookup
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import author_copy_id
from mailrecall.domain.outcomes import Tally
from mailrecall.domain.recalls import Refusal, Refused, Requester, State
from mailrecall.domain.undo import UndoRefusal, UndoRefused, restorable_until
from mailrecall.metrics import instruments
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import outcomes, requests, undoing, views
from mailrecall.recalls.outcomes import Addressee
from mailrecall.recalls.requests import AwaitsApproval
from mailrecall.recalls.undoing import Undo
from mailrecall.recalls.views import RecallView
from mailrecall.wiring import Process
from services.gateway.problems import Code, Problem, not_found
from services.gateway.settings import GatewaySettings
from services.gateway.watching import Seen

log = logs.get(__name__)

APPROVAL_LINK = "/api/v1/admin/approvals/{}"

_SQL = queries.load(__package__, "recalling.sql")

_RETRY_RATE_LIMITED = 60
"""Seconds after which a recall may be asked for again; the limit counts the last hour at every moment."""

_DETAILS: Mapping[Refusal, str] = {
    Refusal.NOT_FOUND: "There is no such message.",
    Refusal.NOT_SENDER: "Somebody else sent this message; only its sender or an administrator can recall it.",
    Refusal.NOT_IN_ORGANISATION: "The message came from outside this organisation; it cannot be recalled.",
    Refusal.WINDOW_EXPIRED: "The time in which this message could be recalled is over.",
    Refusal.NOT_SENT_FROM_WEBMAIL: "The message was sent by a mail program; only those sent here can be recalled.",
    Refusal.NO_LOCAL_RECIPIENTS: "All recipients of this message are outside; there is no copy to recall.",
    Refusal.APPROVAL_REQUIRED: "So large a recall has to be approved by a second administrator.",
    Refusal.RATE_LIMITED: "You have asked for too many recalls in the last hour; wait a little.",
}


_NOT_UNDONE: Mapping[UndoRefusal, str] = {
    UndoRefusal.NOT_FOUND: "There is no such recall.",
    UndoRefusal.NOT_ALLOWED: "Only an administrator can undo a recall.",
    UndoRefusal.NOT_SETTLED: "The recall is still going on; it can be undone when it has settled.",
    UndoRefusal.NOTHING_TO_RESTORE: "No copy was taken from any mailbox: there is nothing to put back.",
    UndoRefusal.RETENTION_OVER: "The time in which this recall could be undone is over.",
}


@dataclass(frozen=True, slots=True)
class Asking:
    """What a request for a recall says."""

    message_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Group:
    """A group that the sender named, with the outcomes so far of the members it was the first to lead to."""

    address: str
    tally: Tally

    @property
    def done(self) -> int:
        """How many members have an outcome."""
        return self.tally.total


@dataclass(frozen=True, slots=True)
class Progress:
    """A recall as it stands, for those who may see it: counts, and the groups that the envelope names."""

    recall: RecallView
    groups: Sequence[Group]
    report_copy_id: int | None
    """R18: the report mail, for whoever asked: it lies in that mailbox and no other."""
    undo: Undo | None
    """R26."""

    @property
    def restorable_until(self) -> datetime | None:
        """R26: the last moment at which an administrator can undo it; None before it has settled, and once undone."""
        if self.recall.settled_at is None or self.undo is not None:
            return None
        return restorable_until(self.recall.settled_at, timedelta(seconds=self.recall.policy.retention))

    @property
    def done(self) -> int:
        """How many recipients have an outcome; never more than `recipients`, which is 0 before the plan."""
        return min(self.recall.tally.total, self.recall.recipients)

    @property
    def direct(self) -> Tally:
        """The outcomes of those whom the sender named directly."""
        return self.recall.by_via.get(views.NAMED_DIRECTLY, Tally({}))

    @property
    def author_copy_id(self) -> int:
        """The recalled message, as its author's Sent folder shows it."""
        return author_copy_id(self.recall.message_id)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request for a recall led to; `progress` only if the account may see that recall."""

    public_id: UUID
    created: bool
    progress: Progress | None


def ask(process: Process[GatewaySettings], account: Account, asking: Asking, *, now: datetime) -> Answer:
    """Ask for a message to be recalled; the request and its work are durable when this returns.

    Raises:
        Problem: a refusal of R10.
    """
    requester = Requester(account.id, account.organisation_id, account.administrator)
    with process.databases.control() as control:
        requested = requests.request(
            control,
            requester,
            asking.message_id,
            asking.reason,
            lookup.policy_of(control, account.organisation_id),
            now=now,
            deadline=timedelta(seconds=process.settings.recall_deadline),
        )
    if isinstance(requested, Refused):
        instruments.recall_asked(requested.refusal.value)
        raise _awaits_approval(requested) if isinstance(requested, AwaitsApproval) else problem(requested)
    instruments.recall_asked("accepted" if requested.created else "repeated")
    log.info("recall.asked", recall_id=requested.recall.id, created=requested.created)
    view = requested.recall
    progress = _progress(process.databases, account, view) if may_see(account, view) else None
    return Answer(view.public_id, requested.created, progress)


def _awaits_approval(awaits: AwaitsApproval) -> Problem:
    """R21: it was refused for now, and waits: the problem leads to what has to be approved."""
    lapses_at = awaits.batch.lapses_at
    return Problem(
        Code.APPROVAL_REQUIRED,
        _DETAILS[Refusal.APPROVAL_REQUIRED] + " Your request waits for that.",
        extra={
            "approval": APPROVAL_LINK.format(awaits.batch.public_id),
            "lapses_at": lapses_at.isoformat() if lapses_at else None,
        },
    )


def find(process: Process[GatewaySettings], account: Account, public_id: UUID) -> Progress:
    """Return a recall as it stands at this moment.

    Raises:
        Problem: there is no such recall, or none that this account may see (R24).
    """
    return _progress(process.databases, account, visible(process.databases, account, public_id))


@dataclass(frozen=True, slots=True)
class Watched:
    """A recall that somebody watches: what does not change of it, and how to tell them what does."""

    seen: Seen
    """As it was when they came."""
    groups: Sequence[tuple[int, str]]
    own: bool
    """Whether it is whoever asked for the recall who watches."""

    def progress(self, seen: Seen) -> Progress:
        """Return what they are told."""
        return _told(seen.recall, self.groups, seen.undo, own=self.own)


def watch(process: Process[GatewaySettings], account: Account, public_id: UUID) -> Watched:
    """Let somebody watch a recall.

    Raises:
        Problem: there is no such recall, or none that this account may see (R24).
    """
    view = visible(process.databases, account, public_id)
    with process.databases.control() as control:
        seen = Seen(view, undoing.find(control, view.id))
        return Watched(seen, groups_of(control, view.message_id), view.requested_by == account.id)


def is_visible(process: Process[GatewaySettings], account: Account, public_id: UUID) -> bool:
    """Tell whether an account may see a recall: the author of a message that an administrator recalled may not."""
    with process.databases.control() as control:
        view = views.find(control, public_id)
    return view is not None and may_see(account, view)


def addressees(process: Process[GatewaySettings], account: Account, public_id: UUID) -> list[Addressee]:
    """Return what became of each recipient whom the sender named directly, as far as shards answer that must.

    Only the sender who recalled the message may know: to an administrator nobody exists from whom it went (R23).

    Raises:
        Problem: there is no such recall of one's own, or it has not settled yet.
    """
    view = visible(process.databases, account, public_id)
    if view.as_administrator or view.requested_by != account.id:
        raise not_found("recall")
    if view.state is not State.SETTLED:
        raise Problem(Code.NOT_SETTLED, "The recall is still going on; who kept a copy is known at its end.")
    with process.databases.control() as control:
        ledger = outcomes.locate(control, view.id)
    return outcomes.of_addressees(process.databases, ledger)


def undo(
    process: Process[GatewaySettings], account: Account, public_id: UUID, reason: str | None, *, now: datetime
) -> Answer:
    """R26: have what a recall took put back; the request and its work are durable when this returns.

    Raises:
        Problem: there is no such recall for this account, or it cannot be undone (any more).
    """
    visible(process.databases, account, public_id)
    requester = Requester(account.id, account.organisation_id, account.administrator)
    with process.databases.control() as control:
        requested = undoing.request(control, requester, public_id, reason, now=now)
    if isinstance(requested, UndoRefused):
        raise _not_undone(requested)
    return Answer(public_id, requested.created, find(process, account, public_id))


def _not_undone(refused: UndoRefused) -> Problem:
    code, detail = Code(refused.refusal.value), _NOT_UNDONE[refused.refusal]
    if refused.closed_at is not None:
        closed_at = refused.closed_at.isoformat()
        return Problem(code, f"{detail} It ended at {closed_at}.", extra={"closed_at": closed_at})
    return Problem(code, detail)


def visible(databases: Databases, account: Account, public_id: UUID) -> RecallView:
    """Return a recall that an account may see.

    Raises:
        Problem: there is none, or not for this account (R24).
    """
    with databases.control() as control:
        view = views.find(control, public_id)
    if view is None or not may_see(account, view):
        raise not_found("recall")
    return view


def may_see(account: Account, view: RecallView) -> bool:
    """Whoever asked for a recall, and the administrators of that organisation (R24)."""
    return view.requested_by == account.id or (
        account.administrator and account.organisation_id == view.organisation_id
    )


def _progress(databases: Databases, account: Account, view: RecallView) -> Progress:
    with databases.control() as control:
        groups = groups_of(control, view.message_id)
        undo = undoing.find(control, view.id)
    return _told(view, groups, undo, own=view.requested_by == account.id)


def _told(view: RecallView, groups: Sequence[tuple[int, str]], undo: Undo | None, *, own: bool) -> Progress:
    return Progress(
        view,
        [Group(address, view.by_via.get(position, Tally({}))) for position, address in groups],
        view.report_message_id if own else None,
        undo,
    )


def groups_of(control: Connection[Any], message_id: int) -> list[tuple[int, str]]:
    """Return the groups that a message's envelope names, by their position there."""
    return control.execute(_SQL["groups"], {"message_id": message_id}).fetchall()


def problem(refused: Refused) -> Problem:
    """Return the problem that a refusal of R10 is over HTTP."""
    code, detail = Code(refused.refusal.value), _DETAILS[refused.refusal]
    if refused.closed_at is not None:
        closed_at = refused.closed_at.isoformat()
        return Problem(code, f"{detail} It ended at {closed_at}.", extra={"closed_at": closed_at})
    if refused.refusal is Refusal.RATE_LIMITED:
        return Problem(code, detail, headers={"Retry-After": str(_RETRY_RATE_LIMITED)})
    return Problem(code, detail)
