"""R20: the administrators' search over HTTP."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Fact
from mailrecall.domain.recalls import Channel
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company, correspondence, dispatch
from tests.correspondence import addressee, author
from tests.gateway import Gateway, gateway, pointers, problem
from tests.reported import silent_shard_1


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases, batch_size=3)


def send(databases, sender, *to, subject="Minutes", **arguments) -> int:
    return dispatch.send(
        databases,
        author(sender),
        [addressee(who) for who in to],
        address=sender.address,
        subject=subject,
        **arguments,
    )


def search(web, administrator, **query) -> Any:
    answer = web.as_(administrator).get("/admin/messages", query_string=query)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def ids(page) -> list[int]:
    return [message["id"] for message in page["messages"]]


@pytest.mark.rule(20)
def test_r20_everything_that_is_named_has_to_be_so(web, databases):
    firm = company.found(databases, people=5)
    alice, bob, carol, dave, erin = firm.people
    company.group(databases, f"inner@{firm.domain}", [carol])
    outer = company.group(databases, f"outer@{firm.domain}", [f"inner@{firm.domain}", dave])
    now = clock.now()
    salaries = send(databases, alice, bob, "someone@elsewhere.example", subject="Salaries 2026", now=now)
    pay = send(databases, alice, outer, subject="RE: salaries", now=now - timedelta(hours=2))
    chinese = send(databases, bob, carol, subject="关于工资的通知", now=now - timedelta(days=2))
    web.deliver()
    everything = [salaries, pay, chinese]
    hour = {"since": (now - timedelta(hours=1)).isoformat()}
    for query, found in (
        ({}, everything),
        ({"subject": "SALARIES"}, [salaries, pay]),
        ({"subject": "alari"}, [salaries, pay]),
        ({"subject": "工资"}, [chinese]),
        ({"subject": "工"}, [chinese]),
        ({"subject": "%"}, []),
        ({"subject": "Salaries", "sender": bob.address}, []),
        ({"sender": alice.address}, [salaries, pay]),
        ({"sender": alice.address.replace("@", "+tag@").upper()}, [salaries, pay]),
        ({"recipient": bob.address}, [salaries]),
        # through groups, nested ones too
        ({"recipient": carol.address}, [pay, chinese]),
        ({"recipient": dave.address}, [pay]),
        ({"recipient": outer.address}, [pay]),
        ({"recipient": "someone@elsewhere.example"}, [salaries]),
        ({"recipient": erin.address}, []),
        ({"recipient": f"nobody@{firm.domain}"}, []),
        ({"sender": "someone@elsewhere.example"}, []),
        (hour, [salaries]),
        ({"until": hour["since"]}, [pay, chinese]),
        ({"since": (now - timedelta(days=3)).isoformat(), "until": hour["since"], "sender": bob.address}, [chinese]),
        ({"recipient": carol.address, "sender": alice.address}, [pay]),
    ):
        assert ids(search(web, firm.postmaster, **query)) == found, query


@pytest.mark.rule(20)
def test_r20_each_message_has_its_counts_and_whether_it_could_be_recalled(web, databases):
    firm = company.found(databases, people=4)
    sender, *others = firm.people
    message_id = send(databases, sender, *others, "someone@elsewhere.example")
    by_program = send(databases, sender, others[0], channel=Channel.SUBMISSION)
    old = send(databases, sender, others[0], now=clock.now() - timedelta(days=8))
    web.deliver()
    correspondence.happen(databases, others[0], message_id, Fact.READ)

    shown = {message["id"]: message for message in search(web, firm.postmaster)["messages"]}

    assert shown[message_id]["counts"] == {"recallable": 2, "total": 4, "external": 1, "unanswered": 0}
    assert (shown[message_id]["refusal"], shown[message_id]["recall"]) == (None, None)
    assert sender.address in shown[message_id]["from"]
    assert shown[message_id]["preview"] == f"/api/v1/messages/{message_id}/recall-preview"
    assert shown[by_program]["refusal"] == "not_sent_from_webmail"
    assert shown[old]["refusal"] == "window_expired"


@pytest.mark.rule(20)
def test_r20_pages_are_newest_first_and_lead_on(web, databases):
    firm = company.found(databases, people=2)
    now = clock.now()
    # two at the same moment, as programs send them
    sent = [send(databases, *firm.people, now=now - timedelta(seconds=n // 2)) for n in range(7)]
    newest_first = sorted(sent, key=lambda id_: (-(sent.index(id_) // 2), id_), reverse=True)
    seen = []
    query: dict[str, Any] = {"limit": 2}
    while query:
        answer = web.as_(firm.postmaster).get("/admin/messages", query_string=query)
        page = answer.get_json()
        seen += ids(page)
        query = {"limit": 2, "cursor": page["next_cursor"]} if page["next_cursor"] else {}
        assert ("Link" in answer.headers) == bool(query)
    assert seen == newest_first


@pytest.mark.rule(20)
def test_r20_only_what_nobody_has_read(web, databases):
    firm = company.found(databases, people=3)
    sender, *others = firm.people
    sent = [send(databases, sender, *others) for _ in range(9)]
    outside = send(databases, sender, "someone@elsewhere.example")
    web.deliver()
    undelivered = send(databases, sender, *others)
    for message_id in sent[::2]:
        correspondence.happen(databases, others[0], message_id, Fact.READ)
    correspondence.recalled(web.process, sender, sent[1])
    seen = []
    cursor = None
    for _ in range(9):
        page = search(web, firm.postmaster, only_unread="true", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += ids(page)
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [undelivered, sent[7], sent[5], sent[3]]
    assert outside not in seen


@pytest.mark.rule(23)
def test_r23_once_a_message_was_recalled_nothing_tells_whose_copies_went(web, databases):
    firm = company.found(databases, people=3)
    sender, kept, taken = firm.people
    team = company.group(databases, f"team@{firm.domain}", [kept, taken])
    message_id = send(databases, sender, taken, team)
    web.deliver()
    assert taken.address in search(web, firm.postmaster)["messages"][0]["to"] + taken.address
    correspondence.happen(databases, kept, message_id, Fact.READ)
    assert ids(search(web, firm.postmaster, recipient=taken.address)) == [message_id]
    correspondence.recalled(web.process, firm.postmaster, message_id)

    for person in (kept, taken):
        # the same for both: what is found says nothing of whose copy went
        assert ids(search(web, firm.postmaster, recipient=person.address)) == []
    answer = web.as_(firm.postmaster).get("/admin/messages")
    assert taken.address not in answer.get_data(as_text=True)
    (shown,) = answer.get_json()["messages"]
    assert (shown["to"], shown["counts"], shown["recipients"]) == (None, None, 2)
    assert shown["recall"]["result"] == "partial"


@pytest.mark.rule(24)
def test_r24_administrators_find_what_their_own_organisation_sent(web, databases):
    firm, other = company.found(databases, people=2), company.found(databases, people=2)
    group = company.group(databases, f"staff@{other.domain}", other.people)
    mine = send(databases, firm.people[0], group, other.people[0])
    send(databases, other.people[0], firm.people[0])
    dispatch.send(databases, None, [addressee(firm.people[0])], channel=Channel.LMTP)
    web.deliver()
    assert ids(search(web, firm.postmaster)) == [mine]
    assert ids(search(web, firm.postmaster, sender=other.people[0].address)) == []
    assert ids(search(web, firm.postmaster, recipient=other.people[0].address)) == [mine]
    # who is in another organisation's groups is theirs to know
    assert ids(search(web, firm.postmaster, recipient=other.people[1].address)) == []
    problem(web.as_(firm.people[0]).get("/admin/messages"), 403, "not_allowed")
    problem(web.as_nobody().get("/admin/messages"), 401, "not_authenticated")


@pytest.mark.rule(20, 28)
def test_r20_r28_what_its_author_may_still_take_back_is_not_found(web, databases):
    firm = company.found(databases, people=2)
    body = {"to": [firm.people[1].address], "subject": "Not yet", "text": "x", "delay": 60}
    assert web.as_(firm.people[0]).post("/messages", json=body).status_code == 202
    assert ids(search(web, firm.postmaster)) == []


@pytest.mark.rule(20)
def test_r20_a_shard_that_is_away_is_said(web, databases, settings):
    firm = company.found(databases, people=5)
    sender, *others = firm.people
    message_id = send(databases, sender, *others)
    web.deliver()
    away = sum(person.shard == 1 for person in others)
    with silent_shard_1(settings) as lame:
        for only_unread in ("false", "true"):
            (shown,) = search(gateway(settings, lame), firm.postmaster, only_unread=only_unread)["messages"]
            assert shown["id"] == message_id
            assert shown["counts"]["unanswered"] == away
            assert shown["counts"]["recallable"] == len(others) - away


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"subject": ""}, {"#/subject"}),
        ({"sender": "nonsense"}, {"#/sender"}),
        ({"since": "2026-03-01T09:00"}, {"#/since"}),
        ({"until": "soon", "zone": "UTC"}, {"#/until"}),
        ({"zone": "Beijing"}, {"#/zone"}),
        ({"limit": "0"}, {"#/limit"}),
        ({"limit": "101"}, {"#/limit"}),
        ({"cursor": "1"}, {"#/cursor"}),
        ({"cursor": "999999999999999999-1"}, {"#/cursor"}),
        ({"cursor": f"1-{2**63}"}, {"#/cursor"}),
        ({"only_unread": "1"}, {"#/only_unread"}),
        ({"colour": "red"}, {"#/colour"}),
    ],
)
def test_r20_a_search_that_makes_no_sense_is_refused(web, company_of_two, query, fields):
    answer = web.as_(company_of_two.postmaster).get("/admin/messages", query_string=query)
    assert pointers(problem(answer, 422, "invalid")) == fields


@pytest.fixture(scope="module")
def company_of_two(databases: Databases) -> company.Company:
    return company.found(databases, people=2)


@pytest.mark.rule(20)
def test_r20_dates_are_those_of_the_zone(web, company_of_two, databases):
    now = clock.now()
    message_id = send(databases, *company_of_two.people, now=now)
    for zone in ("Asia/Shanghai", "America/Los_Angeles", "UTC"):
        today = now.astimezone(ZoneInfo(zone)).date()
        page = search(web, company_of_two.postmaster, since=str(today), until=str(today), zone=zone)
        assert ids(page) == [message_id]
        tomorrow = search(web, company_of_two.postmaster, since=str(today + timedelta(days=1)), zone=zone)
        assert ids(tomorrow) == []
