"""Accounts and aliases. Every function but closing works in the caller's control transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from psycopg import Connection

from mailrecall.directory import authentication, lookup, passwords, sessions
from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.directory.lookup import Account, Language
from mailrecall.directory.organisations import clean_name, lock
from mailrecall.directory.placement import place
from mailrecall.domain.addresses import Address, AddressError
from mailrecall.mailstore import closing, residence
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases

_SQL = queries.load(__package__, "editing.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """An account about to be added; its organisation is that of its address's domain."""

    address: Address
    display_name: str = ""
    language: Language = "en"
    administrator: bool = False
    password_hash: str | None = None
    """None: nobody can sign in until a password is set."""


def parse_address(text: str) -> Address:
    """Read an address that somebody typed.

    Raises:
        DirectoryError: it is none.
    """
    try:
        return Address.parse(text)
    except AddressError as error:
        raise DirectoryError(Code.ADDRESS_INVALID, str(error)) from None


def add_account(connection: Connection[Any], new: NewAccount) -> Account:
    """Add an account; its mailbox goes to the shard with the fewest.

    Raises:
        DirectoryError: the domain is not ours, the address is taken, or a value cannot be stored.
    """
    if new.language not in get_args(Language):
        raise DirectoryError(Code.LANGUAGE_UNKNOWN, f"The language is en or zh, not '{new.language}'.")
    if new.password_hash is not None:
        passwords.check_hash(new.password_hash)
    display_name = clean_name(new.display_name, "An account") if new.display_name else ""
    lock(connection)
    domain_id, organisation_id = domain_of(connection, new.address)
    with connection.transaction():
        row = connection.execute(
            _SQL["add_account"],
            {
                "organisation_id": organisation_id,
                "domain_id": domain_id,
                "display_name": display_name,
                "password_hash": new.password_hash,
                "language": new.language,
                "administrator": new.administrator,
                "shard": place(connection, 1)[0],
            },
        ).fetchone()
        if row is None:
            raise AssertionError("INSERT … RETURNING gave no row")
        give_address(connection, new.address, account_id=row[0])
    account = lookup.account_by_id(connection, row[0])
    if account is None:
        raise AssertionError("the account just added cannot be found")
    return account


def add_alias(connection: Connection[Any], alias: Address, target: Address) -> None:
    """Let an account or a group receive under a further address (R1).

    Raises:
        DirectoryError: the alias is taken or in a domain that is not ours, or there is no such account or group.
    """
    lock(connection)
    domain_of(connection, alias)
    found = lookup.resolve(connection, [target])[target]
    if found.kind not in {"account", "group"}:
        raise DirectoryError(Code.ACCOUNT_UNKNOWN, f"There is no account or group {target}; add it before its aliases.")
    give_address(connection, alias, account_id=found.account_id, group_id=found.group_id, is_alias=True)


def set_password(connection: Connection[Any], address: Address, password: str) -> Account:
    """Give an account a new password; whoever is signed in with the old one is signed out.

    Raises:
        DirectoryError: there is no such open account, or the password is too short or too long.
    """
    account = open_account(connection, address)
    connection.execute(
        _SQL["set_password"], {"account_id": account.id, "password_hash": passwords.hash_password(password)}
    )
    authentication.revoke_all_tokens(connection, account.id)
    sessions.end_all(connection, account.id)
    return account


def close_account(databases: Databases, address: Address, *, now: datetime) -> Account:
    """Close an account for good: nobody signs in, no mail arrives, and its copies count as gone (R9).

    The shard comes first. If the control database then fails, the account is still open and the command can be
    repeated; the other way round, a closed mailbox could be left with copies that a recall would still find.

    Raises:
        DirectoryError: there is no such open account.
    """
    with databases.control() as control:
        account = open_account(control, address)
    with residence.mailbox(databases, account) as shard:
        closing.mark_deleted(shard, account.id, now=now)
    with databases.control() as control:
        control.execute(_SQL["close_account"], {"account_id": account.id, "now": now})
        authentication.revoke_all_tokens(control, account.id)
        sessions.end_all(control, account.id)
    return account


def undo_send_of(connection: Connection[Any], account_id: int) -> int:
    """R28: return how long an account's messages wait before they go out, in seconds."""
    row = connection.execute(_SQL["undo_send_of"], {"account_id": account_id}).fetchone()
    return int(row[0]) if row else 0


def set_undo_send(connection: Connection[Any], account_id: int, seconds: int) -> None:
    """R28: let an account's messages wait 0 to 60 seconds from now on; psycopg.errors.CheckViolation for any other."""
    connection.execute(_SQL["set_undo_send"], {"account_id": account_id, "seconds": seconds})


def open_account(connection: Connection[Any], address: Address) -> Account:
    """Return the account an address belongs to.

    Raises:
        DirectoryError: nobody has that address, or the account is closed.
    """
    account = lookup.account_by_address(connection, address)
    if account is None:
        raise DirectoryError(Code.ACCOUNT_UNKNOWN, f"There is no account {address}.")
    if account.closed:
        raise DirectoryError(Code.ACCOUNT_UNKNOWN, f"The account {address} is closed.")
    return account


def aliases_of(connection: Connection[Any], account_id: int) -> list[str]:
    """Return an account's further addresses."""
    return [alias for (alias,) in connection.execute(_SQL["aliases_of_account"], {"account_id": account_id})]


def groups_of(connection: Connection[Any], account_id: int) -> list[str]:
    """Return the addresses of the groups that name the account as a member."""
    return [group for (group,) in connection.execute(_SQL["groups_of_account"], {"account_id": account_id})]


def domain_of(connection: Connection[Any], address: Address) -> tuple[int, int]:
    """Return the ids of an address's domain and of the organisation it belongs to.

    Raises:
        DirectoryError: the domain is not ours.
    """
    row = connection.execute(_SQL["domain"], {"name": address.domain}).fetchone()
    if row is None:
        raise DirectoryError(
            Code.DOMAIN_UNKNOWN, f"'{address.domain}' is no domain of this platform; add it to an organisation first."
        )
    domain_id, organisation_id = row
    return domain_id, organisation_id


def give_address(
    connection: Connection[Any],
    address: Address,
    *,
    account_id: int | None = None,
    group_id: int | None = None,
    is_alias: bool = False,
) -> None:
    """Write an address into the one table of them all.

    Raises:
        DirectoryError: somebody has it.
    """
    row = connection.execute(
        _SQL["add_address"],
        {"address": str(address), "account_id": account_id, "group_id": group_id, "is_alias": is_alias},
    ).fetchone()
    if row is None:
        raise DirectoryError(
            Code.ADDRESS_TAKEN,
            f"The address {address} is taken by an account, a group or an alias; choose another one.",
        )
