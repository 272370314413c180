"""R26, R27: legal holds, and the audit trail, for administrators, over HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from mailrecall.audit import trail
from mailrecall.audit.trail import Shown
from mailrecall.directory import holds, lookup
from mailrecall.directory.holds import LegalHold
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address, AddressError
from mailrecall.domain.trail import Actor
from mailrecall.wiring import Process
from services.gateway.administration import require_administrator
from services.gateway.problems import not_found
from services.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class TrailPage:
    """Part of the audit trail, newest first; `next_cursor` leads on, if there is more."""

    records: Sequence[Shown]
    next_cursor: int | None


def audit_trail(
    process: Process[GatewaySettings], administrator: Account, *, recall: UUID | None, limit: int, cursor: int | None
) -> TrailPage:
    """Return what is recorded of the administrator's organisation.

    Raises:
        Problem: the account is no administrator.
    """
    require_administrator(administrator)
    before = trail.NEWEST if cursor is None else cursor
    with process.databases.control() as control:
        # one more than was asked for tells whether there is a next page
        found = trail.page(control, administrator.organisation_id, recall=recall, before=before, limit=limit + 1)
    return TrailPage(found[:limit], found[limit - 1].record.number if len(found) > limit else None)


def legal_holds(process: Process[GatewaySettings], administrator: Account) -> list[LegalHold]:
    """Return the accounts of the organisation that are held.

    Raises:
        Problem: the account is no administrator.
    """
    require_administrator(administrator)
    with process.databases.control() as control:
        return holds.of_organisation(control, administrator.organisation_id)


def find_hold(process: Process[GatewaySettings], administrator: Account, address: str) -> LegalHold:
    """Return an account's legal hold.

    Raises:
        Problem: the account is no administrator, or there is no such account here, or it is not held.
    """
    with process.databases.control() as control:
        found = holds.find(control, _account(control, administrator, address))
    if found is None:
        raise not_found("legal hold")
    return found


def place_hold(
    process: Process[GatewaySettings], administrator: Account, address: str, reason: str, *, now: datetime
) -> tuple[LegalHold, bool]:
    """Hold an account; return the hold, and whether this placed it: one that is there stays as it is.

    Raises:
        Problem: the account is no administrator, or there is no such account here.
    """
    with process.databases.control() as control:
        account = _account(control, administrator, address)
        placed = holds.place(control, account, reason, actor=Actor.account(administrator.id), now=now)
        found = holds.find(control, account)
    if found is None:
        raise AssertionError(f"the hold of account {account.id} vanished inside its own transaction")
    return found, placed


def lift_hold(process: Process[GatewaySettings], administrator: Account, address: str, *, now: datetime) -> None:
    """Hold an account no longer; also if it was not held.

    Raises:
        Problem: the account is no administrator, or there is no such account here.
    """
    with process.databases.control() as control:
        account = _account(control, administrator, address)
        holds.lift(control, account, actor=Actor.account(administrator.id), now=now)


def _account(control: Connection[Any], administrator: Account, address: str) -> Account:
    require_administrator(administrator)
    try:
        account = lookup.account_by_address(control, Address.parse(address))
    except AddressError:
        account = None
    # R24: what lies in other organisations does not exist
    if account is None or account.organisation_id != administrator.organisation_id:
        raise not_found("account")
    return account
