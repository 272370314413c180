"""How the control database carries out the console's lists: what a page costs follows from its own length."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest

from mailrecall.directory import browsing
from mailrecall.directory.browsing import Kind, MemberPlace
from mailrecall.settings import Settings

ACCOUNTS = 20_000
OURS, SMALL = 1, 2
"""An organisation that has nearly all accounts, and one whose few come behind all of them."""
EVERYBODY, FEW, NESTING = 1, 2, 1_000
"""Groups: of all accounts, of one in a thousand, of nine hundred groups."""
LIMIT = 50

FILL = (
    "INSERT INTO organisation (name) VALUES ('ours'), ('small')",
    "INSERT INTO domain (name, organisation_id) VALUES ('a.example', 1), ('b.example', 1), ('z.example', 2)",
    f"""INSERT INTO account (id, organisation_id, domain_id, display_name, shard)
        SELECT i, 1, 1, 'Person ' || i, 0 FROM generate_series(1, {ACCOUNTS}) i""",
    f"""INSERT INTO account (id, organisation_id, domain_id, display_name, shard)
        SELECT i, 2, 3, 'Small ' || i, 0 FROM generate_series({ACCOUNTS} + 1, {ACCOUNTS} + 30) i""",
    """INSERT INTO address (address, account_id)
       SELECT CASE organisation_id WHEN 1 THEN 'p' || id || '@a.example' ELSE 'z' || id || '@z.example' END, id
         FROM account""",
    "INSERT INTO mail_group (id, organisation_id) SELECT i, 1 FROM generate_series(1, 1000) i",
    "INSERT INTO address (address, group_id) SELECT 'g' || id || '@b.example', id FROM mail_group",
    """INSERT INTO group_member (group_id, account_id)
       SELECT 1, id FROM account WHERE organisation_id = 1
       UNION ALL SELECT 2, id FROM account WHERE organisation_id = 1 AND id % 1000 = 0
       UNION ALL SELECT 3 + id % 900, id FROM account WHERE organisation_id = 1""",
    "INSERT INTO group_member (group_id, member_group_id) SELECT 1000, i FROM generate_series(3, 902) i",
    "VACUUM (ANALYZE) organisation, domain, account, address, mail_group, group_member",
)

Plan = Mapping[str, Any]
"""As EXPLAIN (FORMAT json) writes one."""


@pytest.fixture(scope="module")
def control(settings: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(settings.control_url, autocommit=True) as connection:
        for statement in FILL:
            connection.execute(statement)
        yield connection


def rows_read(control: psycopg.Connection, statement: str, parameters: Mapping[str, object]) -> int:
    """How many rows the scans of a statement went through, those included that they then left out."""
    explained = b"EXPLAIN (ANALYZE, TIMING off, FORMAT json) " + browsing._SQL[statement]
    row = control.execute(explained, parameters, prepare=False).fetchone()
    assert row is not None
    plans = json.loads(row[0]) if isinstance(row[0], str) else row[0]
    read = 0
    for node in nodes(plans[0]["Plan"]):
        if "Scan" in node["Node Type"] and "Relation Name" in node:
            left_out = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            read += round((node["Actual Rows"] + left_out) * node["Actual Loops"])
    return read


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize("after", ["", "p15@a.example", "p9"])
@pytest.mark.parametrize("organisation_id", [OURS, SMALL])
def test_a_page_of_accounts_reads_what_it_shows(control: psycopg.Connection, organisation_id: int, after: str):
    asked = browsing._asked(organisation_id, "", limit=LIMIT, after=after)
    assert rows_read(control, "walk_accounts", {**asked, "bound": LIMIT + 1}) < 10 * LIMIT
    ids = [account.id for account in browsing.accounts_page(control, OURS, "", limit=LIMIT, after=after).accounts]
    assert len(ids) == LIMIT
    keys = {"organisation_id": OURS, "ids": ids, "few": browsing.FEW}
    assert rows_read(control, "accounts", keys) < 20 * LIMIT


def test_a_text_is_looked_for_on_a_short_walk_first(control: psycopg.Connection):
    asked = browsing._asked(OURS, "person", limit=LIMIT, after=None)
    assert rows_read(control, "walk_accounts", {**asked, "bound": 2 * LIMIT}) < 10 * LIMIT
    # what a small organisation has none of, nobody else's accounts are searched for
    asked = browsing._asked(SMALL, "nobody", limit=LIMIT, after=None)
    assert rows_read(control, "walk_accounts", {**asked, "bound": browsing._WALK}) < 5 * LIMIT


def test_what_is_rare_is_found_by_reading_the_tables_and_not_again_for_each_account(control: psycopg.Connection):
    asked = browsing._asked(OURS, f"person {ACCOUNTS}", limit=LIMIT, after=None)
    assert rows_read(control, "find_accounts", asked) < 5 * ACCOUNTS
    page = browsing.accounts_page(control, OURS, f"person {ACCOUNTS}", limit=LIMIT, after=None)
    assert [account.id for account in page.accounts] == [ACCOUNTS]


@pytest.mark.parametrize("after", ["", "g5", "h"])
def test_a_page_of_groups_reads_what_it_shows(control: psycopg.Connection, after: str):
    asked = browsing._asked(OURS, "", limit=LIMIT, after=after)
    assert rows_read(control, "groups", asked) < 10 * LIMIT


@pytest.mark.parametrize("after", ["", "p9"])
@pytest.mark.parametrize("group_id", [EVERYBODY, FEW], ids=["everybody", "few"])
def test_a_page_of_members_reads_no_more_than_it_must(control: psycopg.Connection, group_id: int, after: str):
    keys = {
        "organisation_id": OURS,
        "group_ids": [group_id],
        "groups_after": None,
        "accounts_after": after,
        "outside_after": None,
        "closed_too": False,
        "limit": LIMIT + 1,
    }
    assert rows_read(control, "members", keys) < 40 * LIMIT


def test_members_of_many_groups_are_there_once_and_in_order(control: psycopg.Connection):
    within = browsing.groups_within(control, OURS, NESTING)
    assert len(within) == 901
    shown: list[str] = []
    place: MemberPlace | None = MemberPlace(Kind.ACCOUNT, "p19")
    while place is not None and len(shown) < 4 * LIMIT:
        page = browsing.members_reached(control, OURS, within, limit=LIMIT, after=place)
        shown += [member.address for member in page.members]
        place = page.next_place
    assert len(shown) == 4 * LIMIT
    assert shown == sorted(set(shown))
    assert browsing.reach(control, OURS, within) == browsing.Reach(accounts=ACCOUNTS, outside=0, elsewhere=0)
