"""R21: recalls of many messages at once, and what waits for a second administrator, over HTTP."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg import Connection

from mailrecall import logs
from mailrecall.directory import lookup
from mailrecall.directory.lookup import Account
from mailrecall.domain.approvals import Approval, Objection
from mailrecall.domain.recalls import Requester
from mailrecall.recalls import approvals, batches
from mailrecall.recalls.approvals import Objected
from mailrecall.recalls.batches import Batch, Item, Progress
from mailrecall.wiring import Process
from services.gateway.administration import require_administrator
from services.gateway.problems import Code, Problem, not_found
from services.gateway.settings import GatewaySettings
from services.gateway.watching import Watcher

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Asking:
    """What a request for many recalls says."""

    message_ids: Sequence[int]
    reason: str
    only_unread: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A request with how far it has got."""

    batch: Batch
    progress: Progress
    messages: Sequence[Item] = ()
    """What became of each message, where all of them are told."""

    @property
    def state(self) -> str:
        """`waiting`, `rejected` or `lapsed` (R21); otherwise `running`, or `settled` once nothing moves any more."""
        if self.batch.approval in (Approval.WAITING, Approval.REJECTED, Approval.LAPSED):
            return self.batch.approval
        return "settled" if self.progress.finished else "running"

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves any more by itself; what waits for approval does."""
        return self.state in ("settled", "rejected", "lapsed")


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Part of an organisation's requests, newest first."""

    batches: Sequence[Shown]
    next_cursor: int | None


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Part of a request's messages, in the order in which they were named."""

    messages: Sequence[Item]
    next_cursor: int | None


BATCH_WATCH: Final = "mailrecall.batch_watch"
"""Where the application keeps its one `BatchWatch`."""


class BatchWatch(Watcher[Shown]):
    """R22: those who watch requests for many recalls."""

    def find(self, control: Connection[Any], ids: list[int]) -> Mapping[int, Shown]:
        """Look up requests, however many, with three statements."""
        progress, messages = batches.progress(control, ids), batches.items_of(control, ids)
        return {id_: Shown(batch, progress[id_], messages[id_]) for id_, batch in batches.many(control, ids).items()}


def ask(
    process: Process[GatewaySettings],
    administrator: Account,
    asking: Asking,
    *,
    keep: Callable[[Connection[Any], Shown], None],
    now: datetime,
) -> None:
    """Ask for up to 1,000 messages; each has a result of its own, and all is durable when this returns.

    Args:
        process: the gateway.
        administrator: who asks.
        asking: for what.
        keep: told what was made, in the transaction that makes it.
        now: the present moment.

    Raises:
        Problem: the account is no administrator.
    """
    require_administrator(administrator)
    with process.databases.control() as control:
        batch = batches.request(
            control,
            _requester(administrator),
            asking.message_ids,
            asking.reason,
            lookup.policy_of(control, administrator.organisation_id),
            only_unread=asking.only_unread,
            now=now,
            deadline=timedelta(seconds=process.settings.recall_deadline),
        )
        messages = batches.items(control, batch.id, after=0, limit=batches.MOST_MESSAGES)
        keep(control, Shown(batch, _progress(control, batch), messages))
    log.info("recalls.asked", request_id=batch.id, messages=len(messages), waits=batch.approval is not None)


def find(process: Process[GatewaySettings], administrator: Account, public_id: UUID) -> Shown:
    """Return a request of the administrator's organisation as it stands.

    Raises:
        Problem: the account is no administrator, or there is no such request (R24).
    """
    with process.databases.control() as control:
        batch = _visible(control, administrator, public_id)
        return Shown(batch, _progress(control, batch))


def messages_of(
    process: Process[GatewaySettings], administrator: Account, public_id: UUID, *, limit: int, cursor: int | None
) -> ItemPage:
    """Return what became of a request's messages.

    Raises:
        Problem: the account is no administrator, or there is no such request (R24).
    """
    with process.databases.control() as control:
        batch = _visible(control, administrator, public_id)
        # one more than was asked for tells whether there is a next page
        found = batches.items(control, batch.id, after=cursor or 0, limit=limit + 1)
    return page_of(found, limit=limit, cursor=cursor)


def page_of(messages: Sequence[Item], *, limit: int, cursor: int | None) -> ItemPage:
    """Return part of a request's messages; of those behind the cursor one more than it may hold has to be known."""
    found = [item for item in messages if item.position > (cursor or 0)]
    return ItemPage(found[:limit], found[limit - 1].position if len(found) > limit else None)


def page(
    process: Process[GatewaySettings],
    administrator: Account,
    *,
    waiting: bool,
    limit: int,
    cursor: int | None,
    now: datetime,
) -> BatchPage:
    """List the organisation's requests, or only those that wait for a second administrator; newest first.

    Raises:
        Problem: the account is no administrator.
    """
    require_administrator(administrator)
    with process.databases.control() as control:
        found = batches.list_batches(
            control,
            administrator.organisation_id,
            waiting=waiting,
            before=cursor or batches.NEWEST,
            limit=limit + 1,
            now=now,
        )
        progress = batches.progress(control, [batch.id for batch in found[:limit]])
    shown = [Shown(batch, progress[batch.id]) for batch in found[:limit]]
    return BatchPage(shown, found[limit - 1].id if len(found) > limit else None)


def decide(
    process: Process[GatewaySettings], administrator: Account, public_id: UUID, decision: Approval, *, now: datetime
) -> Shown:
    """Approve or reject what waits, as a second administrator.

    Raises:
        Problem: the account is no administrator, or asked for it; it does not wait any more, or does not exist (R24).
    """
    require_administrator(administrator)
    with process.databases.control() as control:
        decided = approvals.decide(
            control,
            _requester(administrator),
            public_id,
            decision,
            now=now,
            deadline=timedelta(seconds=process.settings.recall_deadline),
        )
        if isinstance(decided, Batch):
            return Shown(decided, _progress(control, decided))
    # only now: what the audit trail got of the objection is committed
    raise _objection(decided)


def _progress(control: Connection[Any], batch: Batch) -> Progress:
    return batches.progress(control, [batch.id])[batch.id]


def _visible(control: Connection[Any], administrator: Account, public_id: UUID) -> Batch:
    require_administrator(administrator)
    batch = batches.find(control, public_id)
    if batch is None or batch.organisation_id != administrator.organisation_id:
        raise not_found("request")
    return batch


def _requester(account: Account) -> Requester:
    return Requester(account.id, account.organisation_id, account.administrator)


def _objection(objected: Objected) -> Problem:
    match objected.objection:
        case Objection.OWN_REQUEST:
            return Problem(Code.OWN_REQUEST, "You have asked for this yourself; another administrator has to decide.")
        case Objection.ALREADY_DECIDED:
            stands = objected.standing or Approval.LAPSED
            return Problem(Code.ALREADY_DECIDED, f"It does not wait any more: {stands}.", extra={"approval": stands})
        case _:
            return not_found("request")
