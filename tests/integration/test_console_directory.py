"""R13, R19, R24: the console's accounts and groups: what is listed, what is found, and what does not exist here."""

import re
from html import unescape

import pytest

from mailrecall import clock
from mailrecall.directory import accounts, groups, holds
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address
from mailrecall.domain.trail import Actor
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from services.gateway import outgoing, recalling
from services.gateway.sending import NewMessage
from tests import company as companies
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, gateway

NEXT = re.compile(r'rel="next" href="([^"]+)"')
ROW = re.compile(r'<td class="what">(?:<a href="[^"]+">)?([^<]+)')


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    return companies.found(databases, people=3)


@pytest.fixture(scope="module")
def admin(web: Gateway, firm: Company) -> Visitor:
    return signed_in(web, firm.postmaster)


def signed_in(web: Gateway, account: Account) -> Visitor:
    visitor = Visitor(web.app)
    assert visitor.sign_in(account.address).status_code == 303
    return visitor


def text(visitor: Visitor, path: str, status: int = 200) -> str:
    answer = visitor.get(path)
    shown = answer.get_data(as_text=True)
    assert answer.status_code == status, shown
    return shown


def found(visitor: Visitor, path: str, **query: str) -> list[str]:
    """The addresses of all pages of a list, in order."""
    rows: list[str] = []
    answer = visitor.client.get(path, query_string=query, headers={"Accept": "text/html"})
    while True:
        shown = answer.get_data(as_text=True)
        assert answer.status_code == 200, shown
        rows += [unescape(row) for row in ROW.findall(shown.partition("<table")[2])]
        following = NEXT.search(shown)
        if following is None:
            return rows
        answer = visitor.get(unescape(following[1]))


def addresses_in(firm: Company, *names: str) -> list[str]:
    return sorted(f"{name}@{firm.domain}" for name in names)


def hire_many(databases: Databases, firm: Company, prefix: str, count: int) -> list[str]:
    """Add accounts that nobody signs in to; return their addresses in order."""
    addresses = [f"{prefix}{number:03}@{firm.domain}" for number in range(count)]
    with databases.control() as control:
        for address in reversed(addresses):
            accounts.add_account(control, accounts.NewAccount(address=Address.parse(address)))
    return addresses


@pytest.mark.rule(19)
def test_r19_accounts_are_listed_with_roles_aliases_groups_and_state(web: Gateway, databases: Databases):
    firm = companies.found(databases, people=2)
    admin = signed_in(web, firm.postmaster)
    second = companies.hire(databases, f"second@{firm.domain}", administrator=True, aliases=[f"zwei@{firm.domain}"])
    companies.group(databases, f"board@{firm.domain}", [second])
    accounts.close_account(databases, Address.parse(firm.people[1].address), now=clock.now())

    assert found(admin, "/console/accounts") == addresses_in(firm, "person0", "person1", "postmaster", "second")
    rows = text(admin, "/console/accounts").partition("<tbody>")[2].split("</tr>")
    said = {re.search(r">([^<@]+)@", row)[1]: row for row in rows if "@" in row}  # type: ignore[index]
    assert "Administrator" in said["second"]
    assert "Administrator" in said["postmaster"]
    assert f"zwei@{firm.domain}" in said["second"]
    assert f"board@{firm.domain}" in said["second"]
    assert "Closed" in said["person1"]
    assert "Administrator" not in said["person0"]
    assert "Closed" not in said["person0"]


def test_two_hundred_and_fifty_accounts_are_paged_through_each_once(web: Gateway, databases: Databases):
    firm = companies.found(databases, people=0, domains=2)
    admin = signed_in(web, firm.postmaster)
    addresses = hire_many(databases, firm, "p", 249)
    other_domain = companies.hire(databases, f"p100@{firm.domains[1]}")
    expected = sorted([*addresses, firm.postmaster.address, other_domain.address])
    assert found(admin, "/console/accounts") == expected
    # a text that all have, and one that few have
    assert found(admin, "/console/accounts", search="P") == expected
    assert found(admin, "/console/accounts", search="p10") == [one for one in expected if "p10" in one]
    members = companies.group(databases, f"many@{firm.domain}", addresses)
    assert found(admin, f"/console/groups/{members.id}") == addresses
    assert found(admin, f"/console/groups/{members.id}/everybody") == addresses
    shown = text(admin, f"/console/groups/{members.id}/everybody")
    assert "249 accounts" in shown
    assert "249 members" in text(admin, "/console/groups")


def test_what_is_rare_is_found_behind_the_walk_too(web: Gateway, databases: Databases, monkeypatch):
    monkeypatch.setattr("mailrecall.directory.browsing._WALK", 20)
    firm = companies.found(databases, people=0)
    admin = signed_in(web, firm.postmaster)
    addresses = hire_many(databases, firm, "q", 60)
    hidden = companies.hire(
        databases, f"z-last@{firm.domain}", display_name="Rare Bird", aliases=[f"phoenix@{firm.domain}"]
    )
    for search in ("rare bird", "phoenix", "z-LAST"):
        assert found(admin, "/console/accounts", search=search) == [hidden.address]
    assert found(admin, "/console/accounts", search="q05") == addresses[50:60]
    everyone = [firm.postmaster.address, *addresses, hidden.address]
    assert found(admin, "/console/accounts", search=firm.domain) == everyone


@pytest.mark.parametrize("kind", ["accounts", "groups"])
def test_what_is_typed_stands_for_itself(web: Gateway, databases: Databases, kind: str):
    firm = companies.found(databases, people=0)
    admin = signed_in(web, firm.postmaster)
    named = {
        "percent": "100% Cotton",
        "underscore": "under_score",
        "backslash": "back\\slash",
        "quote": "O'Hara",
        "wang": "王小明",
        "li": "李小红",
    }
    for local, name in named.items():
        if kind == "accounts":
            companies.hire(databases, f"{local}@{firm.domain}", display_name=name)
        else:
            with databases.control() as control:
                groups.add_group(control, Address.parse(f"{local}@{firm.domain}"), name)
    path = f"/console/{kind}"
    for search, locals_ in {
        "%": ["percent"],
        "100%": ["percent"],
        "_": ["underscore"],
        "R_S": ["underscore"],
        "\\": ["backslash"],
        "o'h": ["quote"],
        "王": ["wang"],
        "小": ["li", "wang"],
        "王小明": ["wang"],
        "明小": [],
        "wang@": ["wang"],
        "  李  ": ["li"],
        "\0": [*named, "postmaster"] if kind == "accounts" else list(named),
    }.items():
        assert found(admin, path, search=search) == addresses_in(firm, *locals_), search
    assert "100% Cotton" in text(admin, path)


@pytest.mark.parametrize(
    "query", ["after=%00", "after=zzzz", "after=group%3A", "after=nonsense%3Ax", f"search={'x' * 5000}"]
)
def test_what_was_made_up_in_the_address_breaks_nothing(
    firm: Company, databases: Databases, admin: Visitor, query: str
):
    group = companies.group(databases, f"made-up-{hash(query) % 10**9}@{firm.domain}", [])
    person = firm.people[0].id
    for path in ("accounts", "groups", f"groups/{group.id}", f"groups/{group.id}/everybody", f"accounts/{person}"):
        text(admin, f"/console/{path}?{query}&cursor=nonsense")
    for path in ("accounts/0", "accounts/99999999999", "accounts/2147483648", "groups/x", "groups/2147483647"):
        text(admin, f"/console/{path}", 404)


@pytest.mark.rule(13)
def test_r13_nesting_is_followed_both_ways_and_everybody_counts_once(web: Gateway, databases: Databases):
    firm = companies.found(databases, people=3)
    admin, (one, two, three) = signed_in(web, firm.postmaster), firm.people
    inner = companies.group(databases, f"inner@{firm.domain}", [one, two, "partner@outside.example"])
    middle = companies.group(databases, f"middle@{firm.domain}", [inner, two])
    outer = companies.group(databases, f"outer@{firm.domain}", [middle, inner, three, "partner@outside.example"])
    accounts.close_account(databases, Address.parse(three.address), now=clock.now())

    # groups first, then accounts, closed ones too, then those outside
    partner = "partner@outside.example"
    assert found(admin, f"/console/groups/{outer.id}") == [inner.address, middle.address, three.address, partner]
    assert found(admin, f"/console/groups/{outer.id}/everybody") == [one.address, two.address, partner]
    shown = text(admin, f"/console/groups/{outer.id}")
    assert "2 accounts" in shown
    assert "1 outside address" in shown
    assert f'href="/console?recipient={outer.address}"' in shown

    around = text(admin, f"/console/accounts/{one.id}").partition('id="groups-title"')[2].partition('id="recalls"')[0]
    rows = {row.split("</a>")[0].rsplit(">", 1)[1]: row for row in around.split("<tr>")[2:]}
    assert list(rows) == [inner.address, middle.address, outer.address]
    assert "Direct" in rows[inner.address]
    assert "Through another group" in rows[outer.address]
    around = text(admin, f"/console/groups/{inner.id}").partition('id="around-title"')[2]
    assert around.index(middle.address) < around.index(outer.address)
    assert around.count("Direct") == 2


@pytest.mark.rule(24)
def test_r24_another_organisations_people_and_groups_do_not_exist(web: Gateway, databases: Databases, firm: Company):
    theirs = companies.found(databases, people=2)
    stranger, ours = signed_in(web, theirs.postmaster), signed_in(web, firm.postmaster)
    secret = companies.group(databases, f"secret@{theirs.domain}", [theirs.people[0], firm.people[0]])
    shared = companies.group(databases, f"shared@{firm.domain}", [firm.people[1], theirs.people[1], secret])
    companies.group(databases, f"reaching@{theirs.domain}", [shared])

    for path in (
        f"accounts/{firm.people[0].id}",
        f"accounts/{firm.postmaster.id}",
        f"groups/{shared.id}",
        f"groups/{shared.id}/everybody",
    ):
        text(ours, f"/console/{path}")
        text(stranger, f"/console/{path}", 404)
    # every list, search and page of ours, although their groups name our people and ours name theirs
    for kind in ("accounts", "groups"):
        assert found(ours, f"/console/{kind}", search=theirs.domain) == []
    pages = ["accounts", "groups", f"groups/{shared.id}", f"groups/{shared.id}/everybody"]
    for path in [*pages, *[f"accounts/{person.id}" for person in firm.people]]:
        assert theirs.domain not in text(ours, f"/console/{path}"), path
    # of what is theirs in our group: how many, no more; and nobody through their group
    assert found(ours, f"/console/groups/{shared.id}/everybody") == [firm.people[1].address]
    shown = text(ours, f"/console/groups/{shared.id}")
    assert "1 account" in shown
    assert "2 members of other organisations" in shown


@pytest.mark.rule(23, 24)
def test_r23_an_accounts_page_tells_what_it_asked_for_and_nothing_of_its_copies(web: Gateway, databases: Databases):
    firm = companies.found(databases, people=2)
    admin, (sender, reader) = signed_in(web, firm.postmaster), firm.people
    sent = outgoing.send(
        web.process,
        sender,
        NewMessage(to=[Address.parse(reader.address)], subject="Wrong figures", text="Confidential words", delay=0),
        now=clock.now(),
    )
    web.deliver()
    asked = recalling.ask(web.process, sender, recalling.Asking(sent.copy_id, "Sent in error"), now=clock.now())
    web.deliver()
    with databases.control() as control:
        holds.place(control, sender, "Case 7", actor=Actor.account(firm.postmaster.id), now=clock.now())

    shown = text(admin, f"/console/accounts/{sender.id}")
    assert f'href="/console/recalls/{asked.public_id}"' in shown
    assert "Wrong figures" in shown
    assert "Case 7" in shown
    assert "Confidential words" not in shown
    assert reader.address not in shown
    shown = text(admin, f"/console/accounts/{reader.id}")
    assert "Wrong figures" not in shown
    assert "Sent in error" not in shown
    assert "Not held" in shown


def test_other_pages_lead_to_the_account(web: Gateway, databases: Databases):
    firm = companies.found(databases, people=2)
    admin, (sender, reader) = signed_in(web, firm.postmaster), firm.people
    message = NewMessage(to=[Address.parse(reader.address)], subject="Figures", text="x", delay=0)
    sent = outgoing.send(web.process, sender, message, now=clock.now())
    web.deliver()
    link = f'href="/console/accounts/{sender.id}"'
    assert link in text(admin, "/console")
    recalling.ask(web.process, sender, recalling.Asking(sent.copy_id, "x"), now=clock.now())
    web.deliver()
    admin.submit("/console/holds", {"address": sender.address, "reason": "x"})
    for path in ("/console/recalls", "/console/holds"):
        assert link in text(admin, path), path
    recall = re.search(r'href="(/console/recalls/[0-9a-f-]{36})"', text(admin, "/console/recalls"))
    assert recall is not None
    assert link in text(admin, recall[1])


def test_no_page_says_on_which_shard_a_mailbox_lies(firm: Company, admin: Visitor):
    for path in ("/console/accounts", f"/console/accounts/{firm.people[0].id}"):
        assert "shard" not in text(admin, path).partition("<main")[2].partition('class="console-page"')[2].lower()


def test_an_organisation_without_groups_is_told_so(web: Gateway, databases: Databases):
    firm = companies.found(databases, people=0)
    admin = signed_in(web, firm.postmaster)
    assert "No groups yet" in text(admin, "/console/groups")
    assert "No group is like that" in text(admin, "/console/groups?search=x")
    assert "No account is like that" in text(admin, "/console/accounts?search=nobody-here")
    assert "In no group" in text(admin, f"/console/accounts/{firm.postmaster.id}")
