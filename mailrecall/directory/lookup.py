"""Who an address belongs to. Reading only; every function works in the caller's control transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from psycopg import Connection

from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.domain.addresses import Address
from mailrecall.domain.policy import Policy
from mailrecall.postgres import queries

Language = Literal["en", "zh"]
Kind = Literal["account", "group", "external", "unknown", "closed"]

# R19: whoever bears postmaster@ one of the domains, as own address or alias, is an administrator without further ado
ADMINISTRATOR: Final = """a.administrator OR starts_with(own.address, 'postmaster@')
       OR EXISTS (SELECT FROM address role
                   WHERE role.account_id = a.id AND role.is_alias AND starts_with(role.address, 'postmaster@'))"""
_ACCOUNT_COLUMNS = f"""a.id, a.organisation_id, d.name, own.address, a.display_name, a.language,
       {ADMINISTRATOR},
       a.shard, a.closed_at IS NOT NULL"""
_ACCOUNT_TABLES = """account a
  JOIN domain d ON d.id = a.domain_id
  JOIN address own ON own.account_id = a.id AND NOT own.is_alias"""

SQL: Final = queries.load(
    __package__, "lookup.sql", {"account_columns": _ACCOUNT_COLUMNS, "account_tables": _ACCOUNT_TABLES}
)


@dataclass(frozen=True, slots=True)
class Account:
    """One person's account, which is also their mailbox: `id` names the mailbox on its shard."""

    id: int
    organisation_id: int
    domain: str
    address: str
    display_name: str
    language: Language
    administrator: bool
    """R19: given the role, or the bearer of `postmaster@` one of the domains."""
    shard: int
    closed: bool


@dataclass(frozen=True, slots=True)
class Resolution:
    """What an address stands for.

    `kind` is `external` for a domain that is not ours, `unknown` for a name that nobody has in one that is, and
    `closed` for an account that no longer takes mail (its `account_id` is given). `address` is the account's or
    group's own address, whatever alias or tag was asked for (R1).
    """

    kind: Kind
    address: str
    account_id: int | None
    group_id: int | None


def account_by_id(connection: Connection[Any], account_id: int) -> Account | None:
    """Return the account of that id, closed or not."""
    row = connection.execute(SQL["account_by_id"], {"account_id": account_id}).fetchone()
    return Account(*row) if row else None


def account_by_address(connection: Connection[Any], address: Address) -> Account | None:
    """Return the account that receives what is sent to an address: its own, an alias, or either with a tag (R1)."""
    parameters = {"address": str(address), "untagged": str(address.without_tag)}
    row = connection.execute(SQL["account_by_address"], parameters).fetchone()
    return Account(*row) if row else None


def addresses_of(connection: Connection[Any], account_ids: Sequence[int]) -> dict[int, str]:
    """Return the own addresses of accounts, by their ids."""
    return dict(connection.execute(SQL["addresses_of"], {"account_ids": list(account_ids)}).fetchall())


def resolve(connection: Connection[Any], addresses: Sequence[Address]) -> dict[Address, Resolution]:
    """Tell what each address stands for, with one query for all of them."""
    asked = list(dict.fromkeys(addresses))
    if not asked:
        return {}
    parameters = {
        "addresses": [str(address) for address in asked],
        "untagged": [str(address.without_tag) for address in asked],
        "domains": [address.domain for address in asked],
    }
    rows = connection.execute(SQL["resolve"], parameters).fetchall()
    return {asked[position - 1]: Resolution(*found) for position, *found in rows}


def policy_of(connection: Connection[Any], organisation_id: int) -> Policy:
    """Return an organisation's switches, those never set at their defaults.

    Raises:
        DirectoryError: there is no such organisation.
    """
    row = connection.execute(SQL["policy_of"], {"organisation_id": organisation_id}).fetchone()
    if row is None:
        raise DirectoryError(Code.ORGANISATION_UNKNOWN, f"There is no organisation with the id {organisation_id}.")
    stored: Mapping[str, object] = row[0]
    return Policy.from_mapping(stored)
