"""Changing the directory one thing at a time."""

from datetime import UTC, datetime, timedelta

import pytest

from mailrecall.directory import accounts, groups, lookup, organisations
from mailrecall.directory.accounts import NewAccount
from mailrecall.directory.errors import Code
from mailrecall.domain.addresses import Address
from mailrecall.domain.copies import Fact
from mailrecall.domain.policy import DAY, HOUR, Policy
from mailrecall.domain.trail import OPERATOR
from tests import company
from tests.company import Company, refused

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def firm(databases) -> Company:
    return company.found(databases, people=4)


@pytest.mark.rule(3)
def test_r3_only_switches_that_differ_are_stored(databases, firm):
    def stored() -> object:
        row = connection.execute("SELECT policy FROM organisation WHERE id = %s", [firm.organisation_id]).fetchone()
        return row and row[0]

    with databases.control() as connection:
        changes = {"window_user": 48 * HOUR, "window_admin": 7 * DAY}
        policy = organisations.change_policy(connection, firm.organisation_id, changes, actor=OPERATOR, now=NOW)
        assert policy == Policy(window_user=48 * HOUR)
        assert policy == lookup.policy_of(connection, firm.organisation_id)
        assert stored() == {"window_user": 48 * HOUR}
        organisations.change_policy(connection, firm.organisation_id, {"tombstone": True}, actor=OPERATOR, now=NOW)
        assert stored() == {"window_user": 48 * HOUR, "tombstone": True}
        changes = {"window_user": 24 * HOUR}
        organisations.change_policy(connection, firm.organisation_id, changes, actor=OPERATOR, now=NOW)
        assert stored() == {"tombstone": True}


def test_an_unknown_organisation_has_no_policy(databases):
    with databases.control() as connection:
        with refused(Code.ORGANISATION_UNKNOWN):
            lookup.policy_of(connection, 2_000_000_000)
        with refused(Code.ORGANISATION_UNKNOWN):
            organisations.change_policy(connection, 2_000_000_000, {}, actor=OPERATOR, now=NOW)


@pytest.mark.rule(13)
def test_r13_groups_nest_and_overlap_and_reach_each_member_once(databases, firm):
    people = firm.people
    inner = company.group(databases, f"inner@{firm.domain}", [people[0], people[1], "friend@elsewhere.example"])
    other = company.group(databases, f"other@{firm.domain}", [people[1], people[2]])
    outer = company.group(databases, f"outer@{firm.domain}", [inner, other, people[0], people[3]])
    with databases.control() as connection:
        assert groups.members_of(connection, outer.id) == [
            (people[0].address, "account"),
            (people[3].address, "account"),
            (inner.address, "group"),
            (other.address, "group"),
        ]
        assert ("friend@elsewhere.example", "external") in groups.members_of(connection, inner.id)
        assert groups.reach_of(connection, outer.id) == 4
    accounts.close_account(databases, Address.parse(people[1].address), now=NOW)
    with databases.control() as connection:
        assert groups.reach_of(connection, outer.id) == 3


@pytest.mark.rule(1, 13)
def test_r1_a_member_named_by_alias_or_tag_is_the_account(databases, firm):
    team = company.group(databases, f"team@{firm.domain}", [])
    own = firm.address("team")
    with databases.control() as connection:
        accounts.add_alias(connection, firm.address("alias"), firm.address("person0"))
        assert [
            groups.add_member(connection, own, firm.address(name)) for name in ("alias", "person0+x", "person0")
        ] == [
            True,
            False,
            False,
        ]
        assert groups.members_of(connection, team.id) == [(firm.people[0].address, "account")]
        assert groups.remove_member(connection, own, firm.address("alias+y"))
        assert not groups.remove_member(connection, own, firm.address("person0"))
        assert groups.members_of(connection, team.id) == []


def test_a_group_receives_under_an_alias(databases, firm):
    team = company.group(databases, f"team@{firm.domain}", firm.people[:1])
    alias = firm.address("crew")
    with databases.control() as connection:
        accounts.add_alias(connection, alias, firm.address("team"))
        assert groups.group_by_address(connection, alias) == team
        assert lookup.resolve(connection, [alias])[alias].address == team.address


def test_a_domain_comes_in_only_without_members_that_were_external(databases, firm):
    domain = company.unique_domain("merged")
    company.group(databases, f"team@{firm.domain}", [f"someone@{domain}"])
    with databases.control() as connection:
        with refused(Code.DOMAIN_HAS_EXTERNAL_MEMBERS):
            organisations.add_domain(connection, firm.organisation_id, domain)
        assert groups.remove_member(connection, firm.address("team"), firm.address("someone", domain))
        organisations.add_domain(connection, firm.organisation_id, domain)
        assert domain in organisations.domains_of(connection, firm.organisation_id)


@pytest.mark.rule(9)
def test_r9_closing_an_account_marks_every_copy_in_its_mailbox_as_gone(databases, firm):
    person, neighbour = (account for account in firm.people if account.shard == firm.people[0].shard)
    with databases.shard(person.shard) as shard, shard.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO copy (mailbox_id, folder, via, message_id, facts, touched_at) VALUES (%s, 1, 0, %s, %s, %s)",
            [
                (person.id, 2, 0, None),
                (person.id, 4, Fact.READ, NOW),
                (person.id, 6, Fact.READ | Fact.DELETED, NOW),
                (neighbour.id, 2, 0, None),
            ],
        )
    closed_at = NOW + timedelta(days=1)
    accounts.close_account(databases, Address.parse(person.address), now=closed_at)
    with databases.shard(person.shard) as shard:
        rows = shard.execute(
            "SELECT mailbox_id, message_id, facts, touched_at FROM copy WHERE mailbox_id = ANY (%s) ORDER BY 1, 2",
            [[person.id, neighbour.id]],
        ).fetchall()
    assert rows == [
        (person.id, 2, Fact.DELETED, closed_at),
        (person.id, 4, Fact.READ | Fact.DELETED, NOW),
        (person.id, 6, Fact.READ | Fact.DELETED, NOW),
        (neighbour.id, 2, 0, None),
    ]


def test_a_closed_account_is_closed_for_good(databases, firm):
    address = firm.address("person0")
    accounts.close_account(databases, address, now=NOW)
    with refused(Code.ACCOUNT_UNKNOWN):
        accounts.close_account(databases, address, now=NOW)
    team = company.group(databases, f"team@{firm.domain}", [])
    with databases.control() as connection:
        with refused(Code.ADDRESS_TAKEN):
            accounts.add_account(connection, NewAccount(address=address))
        with refused(Code.ACCOUNT_UNKNOWN):
            accounts.set_password(connection, address, "long enough")
        with refused(Code.ACCOUNT_UNKNOWN):
            accounts.add_alias(connection, firm.address("late"), address)
        with refused(Code.MEMBER_UNKNOWN):
            groups.add_member(connection, Address.parse(team.address), address)


def test_an_account_whose_shard_does_not_answer_stays_open(databases, settings, firm):
    """The shard comes first: an error there must leave the account as it was, to be closed again later."""
    person = firm.people[0]
    with databases.control() as connection:
        connection.execute("INSERT INTO shard (id) VALUES (%s) ON CONFLICT DO NOTHING", [len(settings.shard_urls)])
        connection.execute("UPDATE account SET shard = %s WHERE id = %s", [len(settings.shard_urls), person.id])
    try:
        with pytest.raises(LookupError):
            accounts.close_account(databases, Address.parse(person.address), now=NOW)
        with databases.control() as connection:
            found = lookup.account_by_id(connection, person.id)
        assert found is not None
        assert not found.closed
    finally:
        with databases.control() as connection:
            connection.execute("UPDATE account SET shard = %s WHERE id = %s", [person.shard, person.id])
            connection.execute("DELETE FROM shard WHERE id = %s", [len(settings.shard_urls)])
