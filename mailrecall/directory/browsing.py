"""An organisation's accounts and groups, as its administrators look through them: by address, page by page (R19, R24).

Reading only; every function works in the caller's control transaction, which should bound what a statement may take.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.rows import class_row

from mailrecall.directory import lookup
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "browsing.sql", {"administrator": lookup.ADMINISTRATOR})

_WALK: Final = 2_000
"""Accounts among which a text is looked for in order. What is not met there often enough is rare, and soon sorted."""
FEW: Final = 4
"""Aliases, or groups, that a list knows of an account; one more than it shows, to tell that there are more."""
MOST: Final = 200
"""Aliases, or groups around it, that an account's or a group's own page knows."""
COUNTABLE: Final = 10_000
"""Direct members that a list of groups counts; beyond it says no more than that."""


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """An account in the directory, without where its mailbox lies."""

    id: int
    address: str
    display_name: str
    administrator: bool
    closed: bool
    aliases: Sequence[str]
    """The first few by address; as many as were asked for may mean that there are more."""
    groups: Sequence[str]
    """The groups of the organisation that name the account, as with the aliases."""


@dataclass(frozen=True, slots=True)
class AccountPage:
    """Part of a list of accounts. `next_cursor` leads on, if there is more."""

    accounts: Sequence[AccountEntry]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """A group in the directory."""

    id: int
    address: str
    display_name: str
    aliases: Sequence[str]
    members: int
    """Direct ones; `COUNTABLE` + 1 where there are more than that."""


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Part of a list of groups. `next_cursor` leads on, if there is more."""

    groups: Sequence[GroupEntry]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Containing:
    """A group that something is in."""

    id: int
    address: str
    display_name: str
    direct: bool
    """False: through another group only."""


class Kind(StrEnum):
    """What a member can be, in the order of the lists."""

    GROUP = "group"
    ACCOUNT = "account"
    OUTSIDE = "outside"


class MemberPlace(NamedTuple):
    """A place in a list of members: right behind the one of that kind and address."""

    kind: Kind
    address: str


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a group."""

    kind: Kind
    id: int | None
    """The account's or the group's; None outside the platform."""
    address: str
    display_name: str
    closed: bool


@dataclass(frozen=True, slots=True)
class MemberPage:
    """Part of a group's members. `next_place` leads on, if there is more."""

    members: Sequence[Member]
    next_place: MemberPlace | None


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom a message to a group goes to, each counted once (R13)."""

    accounts: int
    """Open accounts of the organisation, through whichever of its groups."""
    outside: int
    """Addresses outside the platform."""
    elsewhere: int
    """Accounts and groups of other organisations of the platform, of which nothing else is known here (R24)."""


def accounts_page(
    connection: Connection[Any], organisation_id: int, text: str, *, limit: int, after: str | None
) -> AccountPage:
    """Return accounts whose name, address or alias contains a text in any case; all of them where it is empty.

    Raises:
        psycopg.errors.QueryCanceled: it took longer than the caller allows.
    """
    parameters = _asked(organisation_id, text, limit=limit, after=after)
    bound = _WALK if text else limit + 1
    walk = connection.execute(_SQL["walk_accounts"], {**parameters, "bound": bound}, prepare=False)
    walked, ids = walk.fetchone() or (0, [])
    if text and walked == bound and len(ids) <= limit:
        ids = [id_ for (id_,) in connection.execute(_SQL["find_accounts"], parameters, prepare=False)]
    found = _accounts(connection, organisation_id, ids[:limit], few=FEW)
    return AccountPage(found, found[-1].address if found and len(ids) > limit else None)


def account(connection: Connection[Any], organisation_id: int, account_id: int) -> AccountEntry | None:
    """Return an account of an organisation, closed or not; None where the organisation has none of that id."""
    found = _accounts(connection, organisation_id, [account_id], few=MOST)
    return found[0] if found else None


def groups_page(
    connection: Connection[Any], organisation_id: int, text: str, *, limit: int, after: str | None
) -> GroupPage:
    """Return groups whose name, address or alias contains a text in any case; all of them where it is empty.

    Raises:
        psycopg.errors.QueryCanceled: it took longer than the caller allows.
    """
    parameters = _asked(organisation_id, text, limit=limit, after=after)
    ids = [id_ for (id_,) in connection.execute(_SQL["groups"], parameters, prepare=False)]
    found = _groups(connection, organisation_id, ids[:limit], few=FEW)
    return GroupPage(found, found[-1].address if found and len(ids) > limit else None)


def group(connection: Connection[Any], organisation_id: int, group_id: int) -> GroupEntry | None:
    """Return a group of an organisation; None where the organisation has none of that id."""
    found = _groups(connection, organisation_id, [group_id], few=MOST)
    return found[0] if found else None


def groups_around_account(connection: Connection[Any], organisation_id: int, account_id: int) -> list[Containing]:
    """Return the groups that an account is in, directly and through nesting; `MOST` of them."""
    return _around(connection, organisation_id, account_id=account_id, group_id=None)


def groups_around_group(connection: Connection[Any], organisation_id: int, group_id: int) -> list[Containing]:
    """Return the groups that a group is in, directly and through nesting; `MOST` of them."""
    return _around(connection, organisation_id, account_id=None, group_id=group_id)


def groups_within(connection: Connection[Any], organisation_id: int, group_id: int) -> list[int]:
    """Return the ids of a group and of those inside it, at any depth; none where the organisation has no such group."""
    keys = {"organisation_id": organisation_id, "group_id": group_id}
    return [id_ for (id_,) in connection.execute(_SQL["groups_within"], keys)]


def direct_members(
    connection: Connection[Any], organisation_id: int, group_id: int, *, limit: int, after: MemberPlace | None
) -> MemberPage:
    """Return those whom a group names: groups, accounts, closed ones too, and addresses outside."""
    start = after or MemberPlace(Kind.GROUP, "")
    return _members(connection, organisation_id, [group_id], start, limit=limit, closed_too=True)


def members_reached(
    connection: Connection[Any],
    organisation_id: int,
    group_ids: Sequence[int],
    *,
    limit: int,
    after: MemberPlace | None,
) -> MemberPage:
    """Return whom messages to groups reach, as `groups_within` found them: open accounts and addresses outside."""
    start = after if after and after.kind is not Kind.GROUP else MemberPlace(Kind.ACCOUNT, "")
    return _members(connection, organisation_id, group_ids, start, limit=limit, closed_too=False)


def reach(connection: Connection[Any], organisation_id: int, group_ids: Sequence[int]) -> Reach:
    """Count whom messages to groups reach.

    Raises:
        psycopg.errors.QueryCanceled: it took longer than the caller allows.
    """
    keys = {"organisation_id": organisation_id, "group_ids": list(group_ids)}
    with connection.cursor(row_factory=class_row(Reach)) as cursor:
        found = cursor.execute(_SQL["reach"], keys, prepare=False).fetchone()
    if found is None:
        raise AssertionError("an aggregate gave no row")
    return found


def _asked(organisation_id: int, text: str, *, limit: int, after: str | None) -> dict[str, object]:
    return {
        "organisation_id": organisation_id,
        "text": text or None,
        # addresses are stored in one case
        "folded": text.lower(),
        "after": after or "",
        # one more than is shown tells whether there is a next page
        "limit": limit + 1,
    }


def _accounts(connection: Connection[Any], organisation_id: int, ids: Sequence[int], *, few: int) -> list[AccountEntry]:
    keys = {"organisation_id": organisation_id, "ids": list(ids), "few": few}
    with connection.cursor(row_factory=class_row(AccountEntry)) as cursor:
        return cursor.execute(_SQL["accounts"], keys).fetchall()


def _groups(connection: Connection[Any], organisation_id: int, ids: Sequence[int], *, few: int) -> list[GroupEntry]:
    keys = {"organisation_id": organisation_id, "ids": list(ids), "few": few, "countable": COUNTABLE + 1}
    with connection.cursor(row_factory=class_row(GroupEntry)) as cursor:
        return cursor.execute(_SQL["groups_by_id"], keys).fetchall()


def _around(
    connection: Connection[Any], organisation_id: int, *, account_id: int | None, group_id: int | None
) -> list[Containing]:
    keys = {"organisation_id": organisation_id, "account_id": account_id, "group_id": group_id, "limit": MOST}
    with connection.cursor(row_factory=class_row(Containing)) as cursor:
        return cursor.execute(_SQL["groups_around"], keys).fetchall()


def _members(
    connection: Connection[Any],
    organisation_id: int,
    group_ids: Sequence[int],
    start: MemberPlace,
    *,
    limit: int,
    closed_too: bool,
) -> MemberPage:
    order = list(Kind)
    begun = order.index(start.kind)
    places = [None if at < begun else start.address if at == begun else "" for at in range(len(order))]
    keys = {
        "organisation_id": organisation_id,
        "group_ids": list(group_ids),
        "groups_after": places[0],
        "accounts_after": places[1],
        "outside_after": places[2],
        "closed_too": closed_too,
        "limit": limit + 1,
    }
    rows = connection.execute(_SQL["members"], keys, prepare=False).fetchall()
    found = [Member(order[kind], *rest) for kind, *rest in rows[:limit]]
    last = found[-1] if found and len(rows) > limit else None
    return MemberPage(found, MemberPlace(last.kind, last.address) if last else None)
