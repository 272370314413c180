"""Looking addresses up, in PostgreSQL."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from mailrecall.directory import accounts, authentication, lookup
from mailrecall.directory.lookup import Resolution
from mailrecall.domain.addresses import Address
from mailrecall.domain.policy import Policy
from mailrecall.postgres.databases import Databases
from tests import company
from tests.company import PASSWORD

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.rule(1)
def test_r1_aliases_and_plus_addresses_resolve_to_their_account(databases: Databases):
    firm = company.found(databases, people=1)
    person = firm.people[0]
    alias = firm.address("alias")
    with databases.control() as connection:
        accounts.add_alias(connection, alias, Address.parse(person.address))
        for text in ("person0", "PERSON0", "person0+news", "alias", "alias+a+b", "Alias+X"):
            asked = firm.address(text)
            assert lookup.account_by_address(connection, asked) == person, text
            expected = Resolution("account", person.address, person.id, None)
            assert lookup.resolve(connection, [asked]) == {asked: expected}, text
        assert lookup.account_by_address(connection, firm.address("nobody")) is None


@pytest.mark.rule(1)
def test_r1_every_kind_of_address_resolves_in_one_query(databases: Databases):
    firm = company.found(databases, people=2)
    gone = company.hire(databases, f"gone@{firm.domain}")
    group = company.group(databases, f"team@{firm.domain}", firm.people)
    accounts.close_account(databases, Address.parse(gone.address), now=NOW)
    asked = [firm.address(name) for name in ("person0", "team", "team+x", "nobody", "gone")]
    outside = Address.parse("somebody@elsewhere.example")
    with databases.control() as connection:
        found = lookup.resolve(connection, [*asked, outside, asked[0]])
    assert found == {
        asked[0]: Resolution("account", firm.people[0].address, firm.people[0].id, None),
        asked[1]: Resolution("group", group.address, None, group.id),
        asked[2]: Resolution("group", group.address, None, group.id),
        asked[3]: Resolution("unknown", str(asked[3]), None, None),
        asked[4]: Resolution("closed", gone.address, gone.id, None),
        outside: Resolution("external", str(outside), None, None),
    }


@pytest.mark.rule(1)
def test_r1_an_address_given_out_with_a_plus_wins_over_the_tag(databases: Databases):
    firm = company.found(databases, people=0)
    bare = company.hire(databases, f"c@{firm.domain}")
    plus = company.group(databases, f"c++@{firm.domain}", [])
    asked = [firm.address(name) for name in ("c++", "c+", "c")]
    with databases.control() as connection:
        found = lookup.resolve(connection, asked)
        assert [found[address].group_id for address in asked] == [plus.id, None, None]
        assert [found[address].account_id for address in asked] == [None, bare.id, bare.id]
        assert lookup.account_by_address(connection, asked[0]) is None


@pytest.mark.rule(19)
def test_r19_postmaster_and_flagged_accounts_are_administrators(databases: Databases):
    firm = company.found(databases, people=2, domains=2)
    flagged = company.hire(databases, f"chief@{firm.domain}", administrator=True)
    by_alias = firm.people[1]
    with databases.control() as connection:
        accounts.add_alias(connection, firm.address("postmaster", firm.domains[1]), Address.parse(by_alias.address))
        administrators = {
            account.address: found.administrator
            for account in (firm.postmaster, flagged, by_alias, firm.people[0])
            if (found := lookup.account_by_id(connection, account.id))
        }
    assert administrators == {
        firm.postmaster.address: True,
        flagged.address: True,
        by_alias.address: True,
        firm.people[0].address: False,
    }


def test_mailboxes_are_placed_evenly(databases: Databases):
    company.found(databases, people=9)
    with databases.control() as connection:
        open_accounts = connection.execute("SELECT shard FROM account WHERE closed_at IS NULL").fetchall()
    fullest, emptiest = max(Counter(open_accounts).values()), min(Counter(open_accounts).values())
    assert fullest - emptiest <= 1


def test_an_organisation_without_switches_has_the_defaults(databases: Databases):
    firm = company.found(databases, people=0)
    with databases.control() as connection:
        assert lookup.policy_of(connection, firm.organisation_id) == Policy()


def test_sign_in_wants_the_right_password_of_an_open_account(databases: Databases):
    firm = company.found(databases, people=2)
    person, closed = firm.people
    company.hire(databases, f"silent@{firm.domain}")
    accounts.close_account(databases, Address.parse(closed.address), now=NOW)
    with databases.control() as connection:
        accounts.add_alias(connection, firm.address("alias"), Address.parse(person.address))
        for address in (person.address, person.address.upper(), f"alias@{firm.domain}"):
            assert authentication.authenticate(connection, address, PASSWORD) == person
        for address, password in (
            (person.address, PASSWORD + " "),
            (person.address, ""),
            (person.address, "x" * 1_000_000),
            (f"person0+tag@{firm.domain}", PASSWORD),
            (closed.address, PASSWORD),
            (f"nobody@{firm.domain}", PASSWORD),
            ("not an address", PASSWORD),
            ("", ""),
        ):
            assert authentication.authenticate(connection, address, password) is None, address


def test_a_token_lives_until_it_expires_or_is_revoked(databases: Databases):
    firm = company.found(databases, people=1)
    person = firm.people[0]
    with databases.control() as connection:
        token = authentication.issue_token(connection, person.id, lifetime=timedelta(hours=1), now=NOW)
        other = authentication.issue_token(connection, person.id, lifetime=timedelta(hours=2), now=NOW)
        assert token != other
        assert authentication.account_of_token(connection, token, now=NOW + timedelta(minutes=59)) == person
        assert authentication.account_of_token(connection, token, now=NOW + timedelta(hours=1)) is None
        assert authentication.revoke_token(connection, other)
        assert not authentication.revoke_token(connection, other)
        assert authentication.account_of_token(connection, other, now=NOW) is None
        assert authentication.account_of_token(connection, "mr_made-up\ud800", now=NOW) is None


def test_a_new_password_and_closing_end_every_session(databases: Databases):
    firm = company.found(databases, people=2)
    changed, closed = firm.people
    hour = timedelta(hours=1)
    with databases.control() as connection:
        tokens = [authentication.issue_token(connection, a.id, lifetime=hour, now=NOW) for a in firm.people]
        accounts.set_password(connection, Address.parse(changed.address), "something else entirely")
        assert authentication.authenticate(connection, changed.address, PASSWORD) is None
        assert authentication.authenticate(connection, changed.address, "something else entirely") == changed
    accounts.close_account(databases, Address.parse(closed.address), now=NOW)
    with databases.control() as connection:
        assert [authentication.account_of_token(connection, token, now=NOW) for token in tokens] == [None, None]
