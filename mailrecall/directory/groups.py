"""Groups: they nest and overlap, and never contain themselves (R13). All in the caller's control transaction."""

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from mailrecall.directory import lookup
from mailrecall.directory.accounts import domain_of, give_address
from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.directory.lookup import Resolution
from mailrecall.directory.organisations import clean_name, lock
from mailrecall.domain.addresses import Address
from mailrecall.domain.groups import GroupCycleError, refuse_cycles
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "groups.sql")
_EDITING = queries.load(__package__, "editing.sql")


@dataclass(frozen=True, slots=True)
class Group:
    """A mail group; its members are looked up at delivery."""

    id: int
    organisation_id: int
    address: str
    display_name: str


def add_group(connection: Connection[Any], address: Address, display_name: str = "") -> Group:
    """Add a group without members.

    Raises:
        DirectoryError: the domain is not ours, or the address is taken.
    """
    display_name = clean_name(display_name, "A group") if display_name else ""
    lock(connection)
    _domain_id, organisation_id = domain_of(connection, address)
    with connection.transaction():
        row = connection.execute(
            _EDITING["add_group"], {"organisation_id": organisation_id, "display_name": display_name}
        ).fetchone()
        if row is None:
            raise AssertionError("INSERT … RETURNING gave no row")
        give_address(connection, address, group_id=row[0])
    return Group(row[0], organisation_id, str(address), display_name)


def group_by_address(connection: Connection[Any], address: Address) -> Group:
    """Return the group that an address, its own or an alias, belongs to.

    Raises:
        DirectoryError: there is none.
    """
    found = lookup.resolve(connection, [address])[address]
    row = connection.execute(_SQL["group"], {"group_id": found.group_id}).fetchone()
    if row is None:
        raise DirectoryError(Code.GROUP_UNKNOWN, f"There is no group {address}; add it first.")
    return Group(*row)


def add_member(connection: Connection[Any], group_address: Address, member: Address) -> bool:
    """Make an account, a group or an address outside this platform a member of a group.

    Returns:
        whether it was none before.

    Raises:
        DirectoryError: there is no such group, nobody has the member's address in a domain of ours, or the group would
            contain itself.
    """
    # the lock comes first: what is read of the graph after it stays true until this transaction ends
    lock(connection)
    group = group_by_address(connection, group_address)
    found = lookup.resolve(connection, [member])[member]
    if found.kind in {"unknown", "closed"}:
        state = "is closed" if found.kind == "closed" else "does not exist"
        raise DirectoryError(Code.MEMBER_UNKNOWN, f"{member} cannot be a member of {group.address}: it {state}.")
    if found.group_id is not None:
        _refuse_cycle(connection, group, found.address, found.group_id)
    return connection.execute(_SQL["add_member"], _member(group, found)).rowcount > 0


def remove_member(connection: Connection[Any], group_address: Address, member: Address) -> bool:
    """Take a member out of a group; tell whether it was one.

    Raises:
        DirectoryError: there is no such group.
    """
    lock(connection)
    group = group_by_address(connection, group_address)
    found = lookup.resolve(connection, [member])[member]
    return connection.execute(_SQL["remove_member"], _member(group, found)).rowcount > 0


def members_of(connection: Connection[Any], group_id: int) -> list[tuple[str, str]]:
    """Return a group's direct members: each one's address and whether it is an `account`, a `group` or `external`."""
    return connection.execute(_SQL["members"], {"group_id": group_id}).fetchall()


def reach_of(connection: Connection[Any], group_id: int) -> int:
    """Return how many open accounts a message to the group reaches, through whatever groups."""
    row = connection.execute(_SQL["reach"], {"group_id": group_id}).fetchone()
    return int(row[0]) if row else 0


def _refuse_cycle(connection: Connection[Any], group: Group, member: str, member_id: int) -> None:
    graph: dict[str, list[str]] = {group.address: [member]}
    for container, nested in connection.execute(_SQL["nesting_below"], {"group_id": member_id}):
        graph.setdefault(container, []).append(nested)
    try:
        refuse_cycles(graph)
    except GroupCycleError as error:
        raise DirectoryError(Code.GROUP_CYCLE, f"{error} Leave {member} out of {group.address}.") from None


def _member(group: Group, found: Resolution) -> dict[str, object]:
    external = found.address if found.kind not in {"account", "closed", "group"} else None
    return {
        "group_id": group.id,
        "account_id": found.account_id,
        "member_group_id": found.group_id,
        "external_address": external,
    }
