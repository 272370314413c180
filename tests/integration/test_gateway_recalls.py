"""Recalls over HTTP: asking, watching, and who may see what."""

from datetime import timedelta
from typing import Any

import pytest

from mailrecall import clock
from mailrecall.domain.copies import author_copy_id
from mailrecall.domain.recalls import Channel
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch
from tests.gateway import Gateway, gateway, pointers, problem
from tests.reported import give_up_on, silent_shard_1


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> company.Company:
    return company.found(databases, people=5)


def ask(web, account, message_id, reason="wrong attachment", **changes):
    body = {"message_id": author_copy_id(message_id), "reason": reason, **changes}
    return web.as_(account).post("/recalls", json=body)


def recall_rows(databases: Databases) -> Any:
    with databases.control() as control:
        row = control.execute("SELECT count(*) FROM recall").fetchone()
    assert row is not None
    return row[0]


@pytest.mark.rule(9, 11, 15)
def test_r9_r11_r15_a_recall_from_request_to_result(web, firm, databases):
    sender, reader, *others = firm.people
    group = company.group(databases, f"all@{firm.domain}", [reader, *others])
    message_id = correspondence.send(databases, sender, reader, group, others[0], "someone@elsewhere.example")
    web.deliver()
    web.as_(reader).get(f"/messages/{message_id}")

    answer = ask(web, sender, message_id)
    assert answer.status_code == 202
    asked = answer.get_json()
    assert answer.headers["Location"] == asked["link"] == f"/api/v1/recalls/{asked['id']}"
    assert answer.headers["Link"] == f'<{asked["link"]}>; rel="status"'
    assert (asked["state"], asked["result"], asked["settled_at"]) == ("accepted", None, None)
    problem(web.as_(sender).get(f"/recalls/{asked['id']}/recipients"), 409, "not_settled")
    web.deliver()

    view = web.as_(sender).get(f"/recalls/{asked['id']}").get_json()
    assert (view["state"], view["result"]) == ("settled", "partial")
    assert view["recipients"] == view["done"] == 5
    assert view["outcomes"] == {"recalled": 3, "already_read": 1, "external": 1}
    assert view["directly"] == {"recalled": 1, "already_read": 1, "external": 1}
    assert view["groups"] == [{"address": group.address, "done": 2, "outcomes": {"recalled": 2}}]
    assert view["message_id"] == author_copy_id(message_id)
    assert view["reason"] == "wrong attachment"
    assert view["settled_at"]
    assert view["report"] is None
    named = web.as_(sender).get(f"/recalls/{asked['id']}/recipients").get_json()["recipients"]
    assert named == [
        {"address": reader.address, "outcome": "already_read"},
        {"address": others[0].address, "outcome": "recalled"},
        {"address": "someone@elsewhere.example", "outcome": "external"},
    ]

    mark = {"id": asked["id"], "state": "settled", "result": "partial", "undo": None, "link": asked["link"]}
    listed = web.as_(sender).get("/folders/sent/messages").get_json()["messages"]
    assert next(entry for entry in listed if entry["id"] == view["message_id"])["recall"] == mark
    assert web.as_(sender).get(f"/messages/{view['message_id']}").get_json()["recall"] == mark


@pytest.mark.rule(9)
def test_r9_outcomes_are_shown_as_far_as_known_when_a_shard_the_recall_gave_up_on_is_silent(settings, databases):
    web = gateway(settings, databases, batch_size=7)
    firm = company.found(databases, people=40)
    sender, *others = firm.people
    staff = company.group(databases, f"staff@{firm.domain}", others)
    message_id = correspondence.send(databases, sender, *others, staff, "someone@elsewhere.example")
    web.deliver()
    recall_id = give_up_on(Process(web.process.settings, databases), 1, firm, message_id, whole=False)
    with databases.control() as control:
        row = control.execute("SELECT public_id FROM recall WHERE id = %s", (recall_id,)).fetchone()
    assert row is not None

    with silent_shard_1(settings) as lame:
        answer = gateway(settings, lame).as_(sender).get(f"/recalls/{row[0]}/recipients")

    told = {entry["address"]: entry["outcome"] for entry in answer.get_json()["recipients"]}
    assert told.pop("someone@elsewhere.example") == "external"
    assert told.keys() == {person.address for person in others}
    assert {told[person.address] for person in others if person.shard == 0} == {"recalled"}
    # the batches that were given up are known to the control database, those that were not lie on the silent shard
    assert {told[person.address] for person in others if person.shard == 1} == {"unreachable", None}


@pytest.mark.rule(15, 17)
def test_r15_r17_only_the_senders_own_copy_tells_of_the_recall(web, firm, databases):
    sender, reader = firm.people[:2]
    message_id = correspondence.send(databases, sender, reader, sender)
    web.deliver()
    for person in (sender, reader):
        web.as_(person).get(f"/messages/{message_id}")
    ask(web, sender, message_id, reason="something secret")
    web.deliver()
    for person in (sender, reader):
        answer = web.as_(person).get(f"/messages/{message_id}")
        assert answer.get_json()["recall"] is None
        listed = web.as_(person).get("/folders/inbox/messages")
        assert {entry["recall"] for entry in listed.get_json()["messages"]} == {None}
        assert "secret" not in answer.get_data(as_text=True) + listed.get_data(as_text=True)
    assert web.as_(sender).get(f"/messages/{author_copy_id(message_id)}").get_json()["recall"]["result"] == "failed"


@pytest.mark.rule(12)
def test_r12_asking_again_gives_the_same_recall(web, firm, databases):
    sender, reader = firm.people[:2]
    message_id = correspondence.send(databases, sender, reader)
    first = ask(web, sender, message_id)
    again = ask(web, sender, message_id, reason="another reason")
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.get_json()["id"] == first.get_json()["id"]
    assert again.get_json()["reason"] == "wrong attachment"
    assert again.headers["Location"] == first.headers["Location"]
    # by the id of the message itself, too
    assert web.as_(sender).post("/recalls", json={"message_id": message_id, "reason": "x"}).status_code == 200


@pytest.mark.rule(11)
@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"#/message_id", "#/reason"}),
        ({"message_id": 2}, {"#/reason"}),
        ({"message_id": 2, "reason": ""}, {"#/reason"}),
        ({"message_id": 2, "reason": " \n "}, {"#/reason"}),
        ({"message_id": 2, "reason": "x" * 501}, {"#/reason"}),
        ({"message_id": 2, "reason": "a\x00b"}, {"#/reason"}),
        ({"message_id": 2, "reason": None}, {"#/reason"}),
        ({"message_id": "two", "reason": "x"}, {"#/message_id"}),
        ({"message_id": True, "reason": "x"}, {"#/message_id"}),
        ({"message_id": 2.5, "reason": "x"}, {"#/message_id"}),
        ({"message_id": 2**63, "reason": "x"}, {"#/message_id"}),
        ({"message_id": 2, "reason": "x", "silent": True}, {"#/silent"}),
    ],
)
def test_r11_a_request_that_makes_no_sense_starts_nothing(web, firm, databases, body, fields):
    before = recall_rows(databases)
    assert pointers(problem(web.as_(firm.people[0]).post("/recalls", json=body), 422, "invalid")) == fields
    assert recall_rows(databases) == before


@pytest.mark.rule(10)
def test_r10_each_refusal_has_its_code(web, firm, databases):
    sender, reader, third = firm.people[:3]
    mine = correspondence.send(databases, sender, reader)
    old = correspondence.send(databases, sender, reader, now=clock.now() - timedelta(hours=24, minutes=1))
    by_program = correspondence.send(databases, sender, reader, channel=Channel.SUBMISSION)
    outside_only = correspondence.send(databases, sender, "someone@elsewhere.example")
    from_outside = dispatch.send(databases, None, [correspondence.addressee(reader)], channel=Channel.LMTP)
    stranger = company.found(databases, people=1).people[0]
    before = recall_rows(databases)
    for account, message_id, status, code in (
        (sender, 10**9, 404, "not_found"),
        (stranger, mine, 404, "not_found"),
        (reader, mine, 403, "not_sender"),
        (third, mine, 403, "not_sender"),
        (reader, from_outside, 403, "not_sender"),
        (firm.postmaster, from_outside, 403, "not_in_organisation"),
        (sender, old, 409, "window_expired"),
        (sender, by_program, 409, "not_sent_from_webmail"),
        (sender, outside_only, 409, "no_local_recipients"),
    ):
        problem(ask(web, account, message_id), status, code)
    assert recall_rows(databases) == before


@pytest.mark.rule(3)
def test_r3_a_refusal_says_when_the_window_closed(web, firm, databases):
    sent_at = clock.now() - timedelta(days=2)
    old = correspondence.send(databases, firm.people[0], firm.people[1], now=sent_at)
    refused = problem(ask(web, firm.people[0], old), 409, "window_expired")
    assert refused["closed_at"] == (sent_at + timedelta(hours=24)).isoformat()
    assert refused["closed_at"] in refused["detail"]


@pytest.mark.rule(10)
def test_r10_too_many_recalls_have_to_wait(web, databases):
    firm = company.found(databases, people=2, switches={"recalls_per_hour": 1})
    first, second = (correspondence.send(databases, *firm.people) for _ in range(2))
    assert ask(web, firm.people[0], first).status_code == 202
    answer = ask(web, firm.people[0], second)
    problem(answer, 429, "rate_limited")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.rule(24)
def test_r24_a_recall_is_seen_by_whoever_asked_and_by_administrators_of_the_organisation(web, firm, databases):
    sender, reader, third = firm.people[:3]
    other_firm = company.found(databases, people=1)
    message_id = correspondence.send(databases, sender, reader)
    link = ask(web, sender, message_id).get_json()["link"].removeprefix("/api/v1")
    web.deliver()
    for account in (sender, firm.postmaster):
        assert web.as_(account).get(link).get_json()["outcomes"] == {"recalled": 1}
    for account in (reader, third, other_firm.people[0], other_firm.postmaster):
        problem(web.as_(account).get(link), 404, "not_found")
        problem(web.as_(account).get(link + "/recipients"), 404, "not_found")
    # from whom it went, an administrator is not told
    problem(web.as_(firm.postmaster).get(link + "/recipients"), 404, "not_found")


@pytest.mark.rule(15, 24)
def test_r15_r24_the_author_learns_of_an_administrators_recall_and_not_why(web, firm, databases):
    author, reader = firm.people[:2]
    message_id = correspondence.send(databases, author, reader)
    web.deliver()
    answer = ask(web, firm.postmaster, message_id, reason="a confidential matter")
    assert answer.status_code == 202
    recall = answer.get_json()
    assert recall["as_administrator"] is True
    web.deliver()
    link = f"/recalls/{recall['id']}"
    problem(web.as_(firm.postmaster).get(link + "/recipients"), 404, "not_found")
    problem(web.as_(author).get(link), 404, "not_found")
    again = ask(web, author, message_id)
    assert (again.status_code, again.get_json()) == (200, {"id": recall["id"]})
    own = web.as_(author).get(f"/messages/{author_copy_id(message_id)}")
    assert own.get_json()["recall"]["result"] == "succeeded"
    assert "confidential" not in again.get_data(as_text=True) + own.get_data(as_text=True)


@pytest.mark.parametrize("name", ["7c0f5a1e-6a55-4d1c-9f5e-0d7f2f6b1c11", "nonsense", "1", "0000-00000000000g"])
def test_a_recall_that_does_not_exist(web, firm, name):
    problem(web.as_(firm.people[0]).get(f"/recalls/{name}"), 404, "not_found")


@pytest.mark.rule(16)
def test_r16_a_recall_before_the_delivery_counts_everybody(web, firm, databases):
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    recall_id = ask(web, sender, message_id).get_json()["id"]
    web.deliver()
    view = web.as_(sender).get(f"/recalls/{recall_id}").get_json()
    assert (view["result"], view["outcomes"]) == ("succeeded", {"recalled": len(others)})
    for person in others:
        problem(web.as_(person).get(f"/messages/{message_id}"), 404, "not_found")


def test_ones_own_recalls_are_listed_newest_first_page_by_page(web, databases):
    firm = company.found(databases)
    author, reader, other = (web.as_(person) for person in firm.people[:3])
    asked = []
    for number in range(5):
        sent = author.post("/messages", json={"to": [firm.people[1].address], "subject": str(number)}).get_json()["id"]
        asked.append(author.post("/recalls", json={"message_id": sent, "reason": "wrong"}).get_json()["id"])
    listed: list[dict[str, Any]] = []
    path: str | None = "/recalls?limit=2"
    while path:
        page = author.get(path)
        listed += page.get_json()["recalls"]
        link = page.headers.get("Link")
        path = link[1:].partition(">")[0].removeprefix("/api/v1") if link else None
        assert (path is None) == (page.get_json()["next_cursor"] is None)
    assert [recall["id"] for recall in listed] == asked[::-1]
    assert listed[0]["subject"] == "4"
    assert listed[0]["state"] == "accepted"
    assert reader.get("/recalls").get_json()["recalls"] == other.get("/recalls").get_json()["recalls"] == []


def test_who_knows_how_far_a_recall_has_got_is_told_that_it_is_still_so(web, databases):
    firm = company.found(databases, people=2)
    author = web.as_(firm.people[0])
    sent = author.post("/messages", json={"to": [firm.people[1].address]}).get_json()["id"]
    path = f"/recalls/{author.post('/recalls', json={'message_id': sent, 'reason': 'wrong'}).get_json()['id']}"
    known = author.get(path).headers["ETag"]
    again = author.get(path, headers={"If-None-Match": known})
    assert (again.status_code, again.get_data()) == (304, b"")
    web.deliver()
    assert author.get(path, headers={"If-None-Match": known}).status_code == 200
