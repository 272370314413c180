"""R23: the accounts whose copies stayed, and never those whose went."""

import base64
import csv
from io import StringIO
from typing import Any

import pytest

from mailrecall.domain.copies import Fact
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence
from tests.gateway import Gateway, gateway, pointers, problem
from tests.reported import give_up_on, silent_shard_1


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases, batch_size=3)


def link_of(databases: Databases, recall_id: int) -> str:
    with databases.control() as control:
        row = control.execute("SELECT public_id FROM recall WHERE id = %s", (recall_id,)).fetchone()
    assert row is not None
    return f"/recalls/{row[0]}"


def all_pages(web, account, link, limit=2) -> list[dict[str, Any]]:
    found = []
    path = f"{link}/failures?limit={limit}"
    while path:
        answer = web.as_(account).get(path)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        found += answer.get_json()["failures"]
        path = answer.headers.get("Link", "").partition(">")[0].removeprefix("</api/v1")
    return found


@pytest.mark.rule(23)
def test_r23_failed_accounts_are_listed_with_reasons_and_recalled_ones_nowhere(web, databases):
    firm = company.found(databases, people=12)
    sender, *others = firm.people
    staff = company.group(
        databases, f"staff@{firm.domain}", [*others, "zoe@elsewhere.example", "=cmd@elsewhere.example"]
    )
    message_id = correspondence.send(databases, sender, others[0], staff, "amy@elsewhere.example")
    web.deliver()
    facts = (Fact.READ, Fact.FORWARDED, Fact.ATTACHMENT_DOWNLOADED, Fact.FETCHED_BY_POP3, Fact.DELETED)
    for person, fact in zip(others, facts, strict=False):
        correspondence.happen(databases, person, message_id, fact)
    asked = web.as_(firm.postmaster).post("/recalls", json={"message_id": message_id, "reason": "x"}).get_json()
    link = f"/recalls/{asked['id']}"
    problem(web.as_(firm.postmaster).get(link + "/failures"), 409, "not_settled")
    web.deliver()

    found = all_pages(web, firm.postmaster, link)

    outcomes = ("already_read", "forwarded", "attachment_downloaded", "fetched_by_pop3", "gone")
    assert {one["address"]: (one["group"], one["outcome"]) for one in found} == {
        **{
            person.address: (None if person is others[0] else staff.address, outcome)
            for person, outcome in zip(others, outcomes, strict=False)
        },
        "amy@elsewhere.example": (None, "external"),
        "zoe@elsewhere.example": (staff.address, "external"),
        "=cmd@elsewhere.example": (staff.address, "external"),
    }
    assert len(found) == 8
    file = web.as_(firm.postmaster).get(link + "/failures.csv")
    assert (file.status_code, file.mimetype) == (200, "text/csv")
    assert "attachment" in file.headers["Content-Disposition"]
    text = file.get_data().decode("utf-8-sig")
    file.close()
    rows = list(csv.reader(StringIO(text)))
    assert rows[0] == ["address", "group", "outcome"]
    assert [[cell.removeprefix("'") for cell in row] for row in rows[1:]] == [
        [one["address"], one["group"] or "", one["outcome"]] for one in found
    ]
    # no spreadsheet takes a name for a formula
    assert "'=cmd@elsewhere.example" in text
    shown = [
        web.as_(firm.postmaster).get(path).get_data(as_text=True)
        for path in (link, link + "/failures?limit=1000", "/admin/messages", "/recalls")
    ]
    for person in others[len(facts) :]:
        assert not any(person.address in page for page in [*shown, text])


@pytest.mark.rule(23)
def test_r23_the_policy_can_keep_failed_accounts_from_administrators(web, databases):
    firm = company.found(databases, people=3, switches={"admin_sees_failed_accounts": False})
    sender, reader, other = firm.people
    by_administrator, by_sender = (correspondence.send(databases, sender, reader, other) for _ in range(2))
    web.deliver()
    links = []
    for message_id, requester in ((by_administrator, firm.postmaster), (by_sender, sender)):
        correspondence.happen(databases, reader, message_id, Fact.READ)
        view = correspondence.recalled(web.process, requester, message_id)
        links.append(link_of(databases, view.id))
    for link in links:
        for path in (link + "/failures", link + "/failures.csv"):
            problem(web.as_(firm.postmaster).get(path), 403, "not_allowed")
    # whoever wrote it knows whom to
    assert [one["address"] for one in all_pages(web, sender, links[1])] == [reader.address]
    # a switch that is turned later does not open what was closed before
    web.as_(firm.postmaster).patch("/admin/policy", json={"admin_sees_failed_accounts": True})
    problem(web.as_(firm.postmaster).get(links[0] + "/failures"), 403, "not_allowed")


@pytest.mark.rule(9, 23)
def test_r9_r23_shards_that_did_not_answer(settings, databases):
    web = gateway(settings, databases, batch_size=7)
    firm = company.found(databases, people=40)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    web.deliver()
    reader = next(person for person in others if person.shard == 0)
    correspondence.happen(databases, reader, message_id, Fact.READ)
    link = link_of(databases, give_up_on(Process(web.process.settings, databases), 1, firm, message_id, whole=True))
    found = {one["address"]: one["outcome"] for one in all_pages(web, firm.postmaster, link, limit=5)}
    assert found == {
        reader.address: "already_read",
        **{person.address: "unreachable" for person in others if person.shard == 1},
    }
    with silent_shard_1(settings) as lame:
        answer = gateway(settings, lame).as_(firm.postmaster).get(link + "/failures?limit=1000").get_json()
    # the control database knows whom it gave up on
    assert {one["address"] for one in answer["failures"]} == found.keys()


@pytest.mark.rule(9, 23)
def test_r9_r23_a_list_says_that_it_is_not_complete(settings, databases):
    web = gateway(settings, databases, batch_size=7)
    firm = company.found(databases, people=40)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    web.deliver()
    link = link_of(databases, give_up_on(Process(web.process.settings, databases), 1, firm, message_id, whole=False))
    assert web.as_(firm.postmaster).get(link + "/failures?limit=1000").get_json()["complete"] is True
    with silent_shard_1(settings) as lame:
        answer = gateway(settings, lame).as_(firm.postmaster).get(link + "/failures?limit=1000").get_json()
    assert answer["complete"] is False


@pytest.mark.rule(24)
def test_r24_nobody_elses_failures(web, databases):
    firm, other = company.found(databases, people=2), company.found(databases, people=1)
    message_id = correspondence.send(databases, *firm.people)
    web.deliver()
    link = link_of(databases, correspondence.recalled(web.process, firm.people[0], message_id).id)
    for path in (link + "/failures", link + "/failures.csv"):
        for stranger in (other.postmaster, firm.people[1]):
            problem(web.as_(stranger).get(path), 404, "not_found")
    assert all_pages(web, firm.postmaster, link) == []


@pytest.mark.rule(23)
@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "=" * 8,
        *(
            base64.urlsafe_b64encode(made_up).decode().rstrip("=")
            for made_up in (
                *(b"[0,0,-1]", b"[0,0,2147483648]", b"[0,0,true]", b"[0,0,1.5]", b'[0,0,"a"]', b"[0,-1,0]"),
                *(b"[2,0,1]", b'[2,0,"\\u0000"]', b"[9,0,1]", b"[0,0]", b"{}", b"nonsense", b"\xff"),
            )
        ),
    ],
)
def test_r23_a_cursor_that_somebody_made_up_is_refused(web, databases, firm_with_a_recall, cursor):
    account, link = firm_with_a_recall
    answer = web.as_(account).get(f"{link}/failures", query_string={"cursor": cursor})
    assert pointers(problem(answer, 422, "invalid")) == {"#/cursor"}


@pytest.fixture(scope="module")
def firm_with_a_recall(web, databases):
    firm = company.found(databases, people=2)
    message_id = correspondence.send(databases, *firm.people)
    web.deliver()
    return firm.people[0], link_of(databases, correspondence.recalled(web.process, firm.people[0], message_id).id)


@pytest.mark.rule(12, 21)
def test_r12_r21_administrators_and_batches_try_again_what_was_unreachable(settings, databases):
    web = gateway(settings, databases, batch_size=7)
    firm = company.found(databases, people=20)
    sender, *others = firm.people
    process: Process[Settings] = Process(web.process.settings, databases)
    for again in ("alone", "batch"):
        message_id = correspondence.send(databases, sender, *others)
        web.deliver()
        link = link_of(databases, give_up_on(process, 1, firm, message_id, whole=True))
        before = web.as_(firm.postmaster).get(link).get_json()
        assert before["outcomes"]["unreachable"] == sum(person.shard == 1 for person in others)
        if again == "alone":
            answer = web.as_(firm.postmaster).post("/recalls", json={"message_id": message_id, "reason": "again"})
            assert (answer.status_code, answer.get_json()["id"]) == (200, before["id"])
        else:
            body = {"message_ids": [message_id], "reason": "again"}
            items = web.as_(firm.postmaster).post("/admin/recall-batches", json=body).get_json()["messages"]
            assert items[0]["recall"]["id"] == before["id"]
        web.deliver()
        after = web.as_(firm.postmaster).get(link).get_json()
        assert (after["result"], after["outcomes"]) == ("succeeded", {"recalled": len(others)})
