"""R23: the accounts that kept a copy, for those who may know, over HTTP."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO
from uuid import UUID

from mailrecall import spreadsheets
from mailrecall.directory import lookup
from mailrecall.directory.lookup import Account
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import State
from mailrecall.recalls import failures, outcomes
from mailrecall.recalls.failures import Failure, Place
from mailrecall.recalls.outcomes import Ledger
from mailrecall.wiring import Process
from services.gateway import recalling
from services.gateway.problems import Code, Problem
from services.gateway.settings import GatewaySettings

_IN_MEMORY = 1024 * 1024
"""Octets of a file that are not worth a file on disk."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An account, or somebody outside, whose copy stayed."""

    address: str
    group: str | None
    """The group that led there; None: named directly."""
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class FailedPage:
    """Part of those whose copies stayed."""

    failures: Sequence[Failed]
    next_cursor: Place | None
    complete: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the account may look into."""

    ledger: Ledger
    groups: dict[int, str]

    def failed(self, failure: Failure) -> Failed:
        return Failed(failure.address, self.groups.get(failure.via), failure.outcome)


def page(
    process: Process[GatewaySettings], account: Account, public_id: UUID, *, limit: int, cursor: Place | None
) -> FailedPage:
    """Return part of those whose copies stayed, with the reasons.

    Raises:
        Problem: there is no such recall for this account, it goes on still, or the policy keeps them from it.
    """
    seen = _look(process, account, public_id)
    found = failures.page(process.databases, seen.ledger, start=cursor or failures.START, limit=limit)
    return FailedPage([seen.failed(one) for one in found.failures], found.next_place, found.complete)


def export(process: Process[GatewaySettings], account: Account, public_id: UUID) -> IO[bytes]:
    """Return all of them as a CSV file, written before the first octet leaves: a failure is no half file.

    Raises:
        Problem: as `page`.
    """
    seen = _look(process, account, public_id)
    with ExitStack() as unless_it_is_whole:
        file = unless_it_is_whole.enter_context(SpooledTemporaryFile(max_size=_IN_MEMORY))
        for portion in spreadsheets.portions(("address", "group", "outcome"), _rows(process, seen)):
            file.write(portion)
        file.seek(0)
        # from here on whoever sends it closes it
        unless_it_is_whole.pop_all()
    return file


def _rows(process: Process[GatewaySettings], seen: _Seen) -> Iterator[tuple[str, str, str]]:
    for failure in failures.all_of(process.databases, seen.ledger):
        failed = seen.failed(failure)
        yield failed.address, failed.group or "", failed.outcome.slug


def _look(process: Process[GatewaySettings], account: Account, public_id: UUID) -> _Seen:
    view = recalling.visible(process.databases, account, public_id)
    with process.databases.control() as control:
        policy = lookup.policy_of(control, account.organisation_id)
        # a sender knows whom they wrote to; what an administrator sees is the policy's to say, then and now
        sender = view.requested_by == account.id and not view.as_administrator
        if not sender and not (view.policy.admin_sees_failed_accounts and policy.admin_sees_failed_accounts):
            raise Problem(Code.NOT_ALLOWED, "Your organisation's policy keeps administrators from seeing accounts.")
        if view.state is not State.SETTLED:
            raise Problem(Code.NOT_SETTLED, "The recall is still going on; who kept a copy is known at its end.")
        return _Seen(outcomes.locate(control, view.id), dict(recalling.groups_of(control, view.message_id)))
