"""R19, R24: an organisation's accounts and groups for its administrators, over HTTP."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import Connection

from mailrecall.directory import browsing, holds, lookup
from mailrecall.directory.browsing import (
    AccountEntry,
    AccountPage,
    Containing,
    GroupEntry,
    GroupPage,
    MemberPage,
    MemberPlace,
    Reach,
)
from mailrecall.directory.holds import LegalHold
from mailrecall.directory.lookup import Account
from mailrecall.postgres import abreast
from mailrecall.recalls import listing
from mailrecall.recalls.listing import RecallPage
from mailrecall.wiring import Process
from services.gateway.administration import require_administrator
from services.gateway.problems import Code, Problem, not_found
from services.gateway.settings import GatewaySettings

SECONDS: Final = 5.0
"""What a page may take to look up."""
_COUNTING: Final = 2.0
"""Seconds that counting whom a group reaches may take; a page without that number is better than none."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """All that an administrator sees of one account: nothing of its mail, nor of what became of any copy (R23)."""

    entry: AccountEntry
    groups: Sequence[Containing]
    hold: LegalHold | None
    recalls: RecallPage
    """What it asked for, newest first."""


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group, with part of its direct members."""

    entry: GroupEntry
    around: Sequence[Containing]
    """The groups that it is in."""
    members: MemberPage
    reach: Reach | None
    """None: so many that they could not be counted in time."""


@dataclass(frozen=True, slots=True)
class ReachView:
    """One group, with part of those whom a message to it reaches."""

    entry: GroupEntry
    members: MemberPage
    reach: Reach | None


def accounts(
    process: Process[GatewaySettings], administrator: Account, text: str, *, limit: int, cursor: str | None
) -> AccountPage:
    """List the organisation's accounts by address, those that contain a text if one is given.

    Raises:
        Problem: the account is no administrator, or the search takes too long.
    """
    with _looking(process, administrator) as control:
        return browsing.accounts_page(control, administrator.organisation_id, text, limit=limit, after=cursor)


def find_account(
    process: Process[GatewaySettings], administrator: Account, account_id: int, *, limit: int, cursor: int | None
) -> AccountView:
    """Return an account of the organisation, with `limit` of the recalls that it asked for.

    Raises:
        Problem: the account is no administrator, or there is no such account here.
    """
    with _looking(process, administrator) as control:
        entry = browsing.account(control, administrator.organisation_id, account_id)
        found = lookup.account_by_id(control, account_id) if entry else None
        if entry is None or found is None:
            raise not_found("account")
        return AccountView(
            entry,
            browsing.groups_around_account(control, administrator.organisation_id, account_id),
            holds.find(control, found),
            listing.requested_by(control, account_id, limit=limit, before=cursor),
        )


def groups(
    process: Process[GatewaySettings], administrator: Account, text: str, *, limit: int, cursor: str | None
) -> GroupPage:
    """List the organisation's groups by address, those that contain a text if one is given.

    Raises:
        Problem: the account is no administrator, or the search takes too long.
    """
    with _looking(process, administrator) as control:
        return browsing.groups_page(control, administrator.organisation_id, text, limit=limit, after=cursor)


def find_group(
    process: Process[GatewaySettings], administrator: Account, group_id: int, *, limit: int, cursor: MemberPlace | None
) -> GroupView:
    """Return a group of the organisation, with `limit` of its direct members.

    Raises:
        Problem: the account is no administrator, or there is no such group here.
    """
    with _looking(process, administrator) as control:
        entry = _group(control, administrator, group_id)
        organisation_id = administrator.organisation_id
        around = browsing.groups_around_group(control, organisation_id, group_id)
        members = browsing.direct_members(control, organisation_id, group_id, limit=limit, after=cursor)
        within = browsing.groups_within(control, organisation_id, group_id)
    return GroupView(entry, around, members, _reach(process, administrator, within))


def find_reach(
    process: Process[GatewaySettings], administrator: Account, group_id: int, *, limit: int, cursor: MemberPlace | None
) -> ReachView:
    """Return a group of the organisation, with `limit` of those whom a message to it reaches.

    Raises:
        Problem: the account is no administrator, or there is no such group here.
    """
    with _looking(process, administrator) as control:
        entry = _group(control, administrator, group_id)
        within = browsing.groups_within(control, administrator.organisation_id, group_id)
        found = browsing.members_reached(control, administrator.organisation_id, within, limit=limit, after=cursor)
    return ReachView(entry, found, _reach(process, administrator, within))


@contextmanager
def _looking(process: Process[GatewaySettings], administrator: Account) -> Iterator[Connection[Any]]:
    require_administrator(administrator)
    try:
        with process.databases.control() as control:
            abreast.limit_statement(control, SECONDS)
            yield control
    except psycopg.errors.QueryCanceled:
        raise Problem(Code.TOO_WIDE, "That takes too long; name more of the address or of the name.") from None


def _group(control: Connection[Any], administrator: Account, group_id: int) -> GroupEntry:
    entry = browsing.group(control, administrator.organisation_id, group_id)
    if entry is None:
        raise not_found("group")
    return entry


def _reach(process: Process[GatewaySettings], administrator: Account, group_ids: Sequence[int]) -> Reach | None:
    try:
        with process.databases.control() as control:
            abreast.limit_statement(control, _COUNTING)
            return browsing.reach(control, administrator.organisation_id, group_ids)
    except psycopg.errors.QueryCanceled:
        return None
