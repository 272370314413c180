"""What the directory refuses.

Each transaction is committed after the refusal, as a careless caller might: nothing of it may have been stored.
"""

from collections.abc import Iterator

import pytest

from mailrecall import clock
from mailrecall.directory import accounts, groups, organisations
from mailrecall.directory.accounts import NewAccount, parse_address
from mailrecall.directory.errors import Code
from mailrecall.domain.addresses import Address
from mailrecall.domain.policy import DAY, HOUR
from mailrecall.domain.trail import OPERATOR
from mailrecall.postgres.databases import Databases
from tests import company
from tests.company import Company, refused

TABLES = ("organisation", "domain", "account", "mail_group", "address", "group_member")


@pytest.fixture
def firm(databases: Databases) -> Company:
    """A company with two people, an alias of the first, and two groups, the outer one with the inner in it."""
    firm = company.found(databases, people=2, switches={"window_user": HOUR})
    inner = company.group(databases, f"inner@{firm.domain}", firm.people)
    company.group(databases, f"outer@{firm.domain}", [inner])
    with databases.control() as connection:
        accounts.add_alias(connection, firm.address("alias"), firm.address("person0"))
    return firm


@pytest.fixture(autouse=True)
def _unchanged(databases: Databases, firm: Company) -> Iterator[None]:
    before = contents(databases)
    yield
    assert contents(databases) == before


def contents(databases: Databases) -> list[list[str]]:
    with databases.control() as connection:
        return [
            sorted(row for (row,) in connection.execute(f"SELECT {table}::text FROM {table}".encode()))
            for table in TABLES
        ]


@pytest.mark.parametrize(
    ("code", "new"),
    [
        (Code.ADDRESS_TAKEN, {"local": "person0"}),
        (Code.ADDRESS_TAKEN, {"local": "PERSON0"}),
        (Code.ADDRESS_TAKEN, {"local": "alias"}),
        (Code.ADDRESS_TAKEN, {"local": "inner"}),
        (Code.DOMAIN_UNKNOWN, {"local": "new", "domain": "elsewhere.example"}),
        (Code.LANGUAGE_UNKNOWN, {"local": "new", "language": "tlh"}),
        (Code.PASSWORD_REFUSED, {"local": "new", "password_hash": "secret"}),
        (
            Code.PASSWORD_REFUSED,
            {"local": "new", "password_hash": "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vj"},
        ),
        (Code.NAME_INVALID, {"local": "new", "display_name": "x" * 201}),
        (Code.NAME_INVALID, {"local": "new", "display_name": "two\nlines"}),
        (Code.NAME_INVALID, {"local": "new", "display_name": "\x00"}),
    ],
)
def test_an_account_that_cannot_be(databases, firm, code, new):
    values = dict(new)
    address = firm.address(values.pop("local"), values.pop("domain", None))
    with databases.control() as connection, refused(code):
        accounts.add_account(connection, NewAccount(address=address, **values))


@pytest.mark.parametrize("local", ["inner", "person0", "alias"])
def test_a_group_whose_address_is_taken(databases, firm, local):
    with databases.control() as connection, refused(Code.ADDRESS_TAKEN):
        groups.add_group(connection, firm.address(local))


def test_a_group_in_a_domain_of_somebody_else(databases):
    with databases.control() as connection, refused(Code.DOMAIN_UNKNOWN):
        groups.add_group(connection, Address.parse("new@elsewhere.example"))


@pytest.mark.parametrize(
    ("code", "alias", "target"),
    [
        (Code.ADDRESS_TAKEN, "alias", "person1"),
        (Code.ADDRESS_TAKEN, "alias", "person0"),
        (Code.ADDRESS_TAKEN, "person1", "person0"),
        (Code.ADDRESS_TAKEN, "inner", "person0"),
        (Code.ACCOUNT_UNKNOWN, "new", "nobody"),
    ],
)
def test_an_alias_that_cannot_be(databases, firm, code, alias, target):
    with databases.control() as connection, refused(code):
        accounts.add_alias(connection, firm.address(alias), firm.address(target))


def test_an_alias_in_a_domain_of_somebody_else(databases, firm):
    with databases.control() as connection, refused(Code.DOMAIN_UNKNOWN):
        accounts.add_alias(connection, Address.parse("new@elsewhere.example"), firm.address("person0"))


@pytest.mark.parametrize(
    ("code", "group", "member"),
    [
        (Code.GROUP_UNKNOWN, "nobody", "person0"),
        (Code.GROUP_UNKNOWN, "person0", "person1"),
        (Code.MEMBER_UNKNOWN, "inner", "nobody"),
        (Code.GROUP_CYCLE, "inner", "inner"),
        (Code.GROUP_CYCLE, "inner", "outer"),
        (Code.GROUP_CYCLE, "inner", "outer+tag"),
    ],
)
@pytest.mark.rule(13)
def test_r13_a_member_that_cannot_be(databases, firm, code, group, member):
    with databases.control() as connection, refused(code):
        groups.add_member(connection, firm.address(group), firm.address(member))


def test_an_organisation_that_cannot_be(databases, firm):
    with databases.control() as connection:
        with refused(Code.ORGANISATION_TAKEN):
            organisations.add_organisation(connection, f" {firm.name} ")
        with refused(Code.NAME_INVALID):
            organisations.add_organisation(connection, "  ")
        with refused(Code.ORGANISATION_UNKNOWN):
            organisations.organisation_by_name(connection, "Nobody & Sons")


@pytest.mark.parametrize("name", ["no domain", "", "a..b", "-a.example", "\x00.example"])
def test_a_domain_that_is_none(databases, firm, name):
    with databases.control() as connection, refused(Code.ADDRESS_INVALID):
        organisations.add_domain(connection, firm.organisation_id, name)


def test_a_domain_that_somebody_has(databases, firm):
    with databases.control() as connection, refused(Code.DOMAIN_TAKEN):
        organisations.add_domain(connection, firm.organisation_id, firm.domain.upper())


@pytest.mark.parametrize("text", ["", "nobody", "a@b@", "\x00@x.example"])
def test_a_text_that_is_no_address(text):
    with refused(Code.ADDRESS_INVALID):
        parse_address(text)


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
def test_a_password_that_is_too_short_or_too_long(databases, firm, password):
    with databases.control() as connection, refused(Code.PASSWORD_REFUSED):
        accounts.set_password(connection, firm.address("person0"), password)


def test_a_password_for_nobody(databases, firm):
    with databases.control() as connection, refused(Code.ACCOUNT_UNKNOWN):
        accounts.set_password(connection, firm.address("nobody"), "long enough")


@pytest.mark.rule(3)
@pytest.mark.parametrize(
    "switches",
    [
        {"window_user": 15 * DAY + 1},
        {"window_user": 0},
        {"window_admin": 15 * DAY + 1},
        {"window_user": "1"},
        {"tombstone": 1},
        {"scope": "galaxy"},
        {"windows": 1},
        # one bad switch takes the good ones with it
        {"notify_author": True, "retention": -1},
    ],
)
def test_r3_a_policy_out_of_range(databases, firm, switches):
    with databases.control() as connection:
        with refused(Code.POLICY_REFUSED):
            organisations.change_policy(connection, firm.organisation_id, switches, actor=OPERATOR, now=clock.now())
        with refused(Code.POLICY_REFUSED):
            organisations.add_organisation(connection, f"{firm.name} again", switches)
