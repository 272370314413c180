"""Small companies for tests. Every one has names of its own, so that tests which share a stack never meet."""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import pytest
from argon2 import PasswordHasher

from mailrecall.directory import accounts, groups, organisations
from mailrecall.directory.accounts import NewAccount
from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.directory.lookup import Account, Language
from mailrecall.domain.addresses import Address
from mailrecall.postgres.databases import Databases

PASSWORD = "correct horse battery staple"
"""Everybody's."""


@cache
def password_hash() -> str:
    """The hash of `PASSWORD`, made once and cheaply: what it costs is not what tests look at."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


def unique_domain(prefix: str = "company") -> str:
    """A domain that no other test has."""
    return f"{prefix}-{secrets.token_hex(5)}.example"


@dataclass(frozen=True, slots=True)
class Company:
    """An organisation with its domains and the people in the first of them."""

    organisation_id: int
    name: str
    domains: tuple[str, ...]
    people: tuple[Account, ...]
    """`person0@`, `person1@` … of the first domain."""
    postmaster: Account
    """An administrator (R19)."""

    @property
    def domain(self) -> str:
        """The first domain."""
        return self.domains[0]

    def address(self, local: str, domain: str | None = None) -> Address:
        """An address in the company, whether or not anybody has it."""
        return Address.parse(f"{local}@{domain or self.domain}")


def found(
    databases: Databases, *, people: int = 4, domains: int = 1, switches: Mapping[str, object] | None = None
) -> Company:
    """Found a company: an organisation, its domains, a postmaster and people spread evenly over the shards."""
    names = tuple(unique_domain() for _ in range(domains))
    with databases.control() as connection:
        organisation_id = organisations.add_organisation(connection, names[0], switches)
        for name in names:
            organisations.add_domain(connection, organisation_id, name)
    postmaster = hire(databases, f"postmaster@{names[0]}")
    staff = tuple(hire(databases, f"person{number}@{names[0]}") for number in range(people))
    return Company(organisation_id, names[0], names, staff, postmaster)


def hire(
    databases: Databases,
    address: str,
    *,
    display_name: str = "",
    language: Language = "en",
    administrator: bool = False,
    aliases: Iterable[str] = (),
) -> Account:
    """Add an account that signs in with `PASSWORD`."""
    own = Address.parse(address)
    with databases.control() as connection:
        account = accounts.add_account(
            connection,
            NewAccount(
                address=own,
                display_name=display_name or own.local.title(),
                language=language,
                administrator=administrator,
                password_hash=password_hash(),
            ),
        )
        # tests that are about waiting say so
        accounts.set_undo_send(connection, account.id, 0)
        for alias in aliases:
            accounts.add_alias(connection, Address.parse(alias), own)
    return account


def group(databases: Databases, address: str, members: Iterable[str | Account | groups.Group]) -> groups.Group:
    """Add a group; members are accounts, groups, or addresses of any kind."""
    own = Address.parse(address)
    with databases.control() as connection:
        added = groups.add_group(connection, own, own.local.title())
        for member in members:
            groups.add_member(connection, own, Address.parse(member if isinstance(member, str) else member.address))
    return added


@contextmanager
def refused(code: Code) -> Iterator[None]:
    """Expect the directory to refuse what is done inside."""
    with pytest.raises(DirectoryError) as caught:
        yield
    assert caught.value.code is code
