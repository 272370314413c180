"""R28: drafts over HTTP: saved as they are typed, never overwritten unseen, sent once."""

import base64
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Folder
from mailrecall.mailstore import imap
from mailrecall.mailstore.imap import Place
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, dispatch
from tests.gateway import Client, Gateway, gateway, pointers, problem


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture
def firm(databases: Databases) -> company.Company:
    return company.found(databases)


@pytest.fixture
def client(web: Gateway, firm: company.Company) -> Client:
    return web.as_(firm.people[0])


def file(name: str, content: bytes) -> dict[str, str]:
    return {"filename": name, "content_type": "application/pdf", "content": base64.b64encode(content).decode()}


def in_folder(client: Client, folder: str) -> list[tuple[int, str]]:
    messages = client.get(f"/folders/{folder}/messages").get_json()["messages"]
    return [(message["id"], message["subject"]) for message in messages]


@pytest.mark.rule(28)
def test_r28_what_is_typed_is_saved_as_it_is_and_lies_in_drafts(client, firm):
    typed = {
        "to": [firm.people[1].address, "bob@exam"],
        "bcc": [firm.people[2].address],
        "subject": "Grüße",
        "text": "Hel",
    }
    created = client.post("/drafts", json={**typed, "attachments": [file("a.pdf", b"\x00\xff")]})
    assert created.status_code == 201
    draft = created.get_json()
    assert draft["id"] % 2 == 1
    assert created.headers["Location"] == draft["link"] == f"/api/v1/drafts/{draft['id']}"

    shown = client.get(f"/drafts/{draft['id']}")
    assert (shown.get_json(), shown.headers["ETag"]) == (draft, created.headers["ETag"])
    assert {name: shown.get_json()[name] for name in typed} == typed
    assert [(a["filename"], a["size"]) for a in draft["attachments"]] == [("a.pdf", 2)]
    assert client.get(f"/messages/{draft['id']}/attachments/0").data == b"\x00\xff"
    assert in_folder(client, "drafts") == [(draft["id"], "Grüße")]
    source = client.get(f"/messages/{draft['id']}/source").data
    assert firm.people[1].address.encode() in source
    assert firm.people[2].address.encode() not in source


@pytest.mark.rule(28)
def test_r28_a_draft_is_replaced_as_a_whole_and_its_files_stay_if_they_are_not_named(client, databases, firm):
    created = client.post(
        "/drafts", json={"text": "one", "attachments": [file("a.pdf", b"one"), file("b.pdf", b"two")]}
    )
    path = f"/drafts/{created.get_json()['id']}"

    second = client.put(path, json={"subject": "S"}, headers={"If-Match": created.headers["ETag"]})

    assert second.status_code == 200
    assert second.headers["ETag"] != created.headers["ETag"]
    assert (second.get_json()["text"], second.get_json()["subject"]) == ("", "S")
    assert [a["filename"] for a in second.get_json()["attachments"]] == ["a.pdf", "b.pdf"]
    third = client.put(path, json={"attachments": [file("c.pdf", b"three")]}, headers={"If-Match": "*"})
    assert [a["filename"] for a in third.get_json()["attachments"]] == ["c.pdf"]
    assert client.get(f"/messages/{third.get_json()['id']}/attachments/0").data == b"three"
    assert len(in_folder(client, "drafts")) == 1
    with databases.shard(firm.people[0].shard) as shard:
        row = shard.execute(
            "SELECT count(*) FROM body WHERE content LIKE %s", (b"%" + base64.b64encode(b"one") + b"%",)
        )
        assert row.fetchone() == (0,)


@pytest.mark.rule(28)
def test_r28_a_second_window_never_overwrites_what_it_has_not_seen(client):
    created = client.post("/drafts", json={"text": "one"})
    path, seen = f"/drafts/{created.get_json()['id']}", created.headers["ETag"]
    first = client.put(path, json={"text": "by the first"}, headers={"If-Match": seen})

    late = client.put(path, json={"text": "by the second"}, headers={"If-Match": seen})

    problem(late, 412, "version_conflict")
    assert late.headers["ETag"] == first.headers["ETag"]
    problem(client.put(path, json={"text": "blindly"}), 428, "version_required")
    problem(client.delete(path, headers={"If-Match": seen}), 412, "version_conflict")
    problem(client.post(f"{path}/send", headers={"If-Match": seen}), 412, "version_conflict")
    assert client.get(path).get_json()["text"] == "by the first"
    assert client.put(path, json={"text": "two"}, headers={"If-Match": late.headers["ETag"]}).status_code == 200


@pytest.mark.rule(28)
def test_r28_of_many_that_save_at_once_one_does(client):
    created = client.post("/drafts", json={"text": "one"})
    path, seen = f"/drafts/{created.get_json()['id']}", created.headers["ETag"]
    together = Barrier(4)

    def save(number: int) -> Any:
        together.wait()
        return client.put(path, json={"text": f"by {number}"}, headers={"If-Match": seen}).status_code

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(save, range(4)))

    assert sorted(answers) == [200, 412, 412, 412]
    assert client.get(path).get_json()["text"] == f"by {answers.index(200)}"


@pytest.mark.rule(15, 28)
def test_r15_r28_a_draft_that_is_sent_becomes_the_sent_copy(client, web, firm):
    recipient, hidden = firm.people[1:3]
    draft = client.post(
        "/drafts",
        json={
            "to": [recipient.address],
            "bcc": [hidden.address],
            "subject": "Plans",
            "html": "<p>Hello</p>",
            "attachments": [file("a.pdf", b"\x00")],
        },
    ).get_json()
    path = f"/drafts/{draft['id']}"

    answer = client.post(f"{path}/send")

    assert (answer.status_code, answer.get_json()["id"]) == (202, draft["id"])
    assert client.get(path).get_json()["being_sent"]
    for again in (
        client.post(f"{path}/send"),
        client.put(path, json={"text": "no"}, headers={"If-Match": "*"}),
        client.delete(path),
    ):
        problem(again, 409, "being_sent")
    web.deliver()
    problem(client.get(path), 404, "not_found")
    problem(client.post(f"{path}/send"), 404, "not_found")
    assert in_folder(client, "drafts") == []
    assert in_folder(client, "sent") == [(draft["id"], "Plans")]
    assert client.get(f"/messages/{draft['id']}").get_json()["html"].strip() == "<p>Hello</p>"
    for person in (recipient, hidden):
        got = web.as_(person).get(f"/messages/{draft['id'] - 1}").get_json()
        assert (got["subject"], got["to"], [a["filename"] for a in got["attachments"]]) == (
            "Plans",
            recipient.address,
            ["a.pdf"],
        )
    asked = client.post("/recalls", json={"message_id": draft["id"], "reason": "a trial"})
    assert asked.status_code == 202


@pytest.mark.rule(28)
def test_r28_of_many_that_send_at_once_one_does_and_no_save_is_lost(client, web, databases, firm):
    recipient = firm.people[1]
    for turn in range(5):
        created = client.post("/drafts", json={"to": [recipient.address], "subject": f"Turn {turn}", "text": "old"})
        path = f"/drafts/{created.get_json()['id']}"
        together = Barrier(4)

        def do(number: int, path: str = path, together: Barrier = together, turn: int = turn) -> Any:
            together.wait()
            if number == 0:
                new = {"to": [recipient.address], "subject": f"Turn {turn}", "text": "new"}
                return client.put(path, json=new, headers={"If-Match": "*"}).status_code
            return client.post(f"{path}/send").status_code

        with ThreadPoolExecutor(4) as threads:
            saved, *sent = threads.map(do, range(4))
        assert sorted(sent) == [202, 409, 409]
        web.deliver()
        got = web.as_(recipient).get(f"/messages/{created.get_json()['id'] - 1}").get_json()
        assert got["text"].strip() == ("new" if saved == 200 else "old")
        assert saved in (200, 409)


@pytest.mark.rule(28)
def test_r28_filing_may_run_twice_and_leaves_what_its_owner_did_since(client, web, settings, databases, firm):
    draft = client.post("/drafts", json={"to": [firm.people[1].address], "subject": "Twice"}).get_json()
    client.post(f"/drafts/{draft['id']}/send")
    with databases.control() as control:
        ((work_id, args),) = control.execute(
            "SELECT id, args FROM outbox WHERE task = %s", (Task.FILE_AUTHOR_COPY,)
        ).fetchall()
    process: Process[Settings] = Process(settings, databases)
    dispatch.USE_CASES[Task.FILE_AUTHOR_COPY](process, work_id=work_id, now=clock.now(), **args)
    client.patch(f"/messages/{draft['id']}", json={"folder": "archive"})
    with databases.control() as control:  # as if the first run had died before it could tell
        control.execute(
            "UPDATE message SET author_filed_at = NULL, deliveries_left = deliveries_left + 1 WHERE id = %s",
            (draft["id"] - 1,),
        )
    dispatch.USE_CASES[Task.FILE_AUTHOR_COPY](process, work_id=work_id, now=clock.now(), **args)
    web.deliver()
    assert in_folder(client, "archive") == [(draft["id"], "Twice")]
    assert in_folder(client, "sent") == in_folder(client, "drafts") == []


def test_a_draft_that_cannot_be_sent_stays_a_draft(client, firm):
    created = client.post("/drafts", json={"to": ["bob@exam", "bob", firm.people[1].address], "cc": ["@"]})
    path = f"/drafts/{created.get_json()['id']}"
    assert pointers(problem(client.post(f"{path}/send"), 422, "invalid")) == {"#/to/1", "#/cc/0"}
    client.put(path, json={}, headers={"If-Match": "*"})
    assert pointers(problem(client.post(f"{path}/send"), 422, "invalid")) == {"#/to"}
    client.put(path, json={"to": [f"nobody@{firm.domain}"]}, headers={"If-Match": "*"})
    assert pointers(problem(client.post(f"{path}/send"), 422, "recipients_refused")) == {"#/to/0"}
    assert not client.get(path).get_json()["being_sent"]


def test_a_draft_is_thrown_away_or_put_into_the_trash_and_never_into_sent(client, databases, firm):
    one, two = (client.post("/drafts", json={"subject": name}).get_json()["id"] for name in ("one", "two"))
    assert client.delete(f"/drafts/{one}").status_code == 204
    problem(client.delete(f"/drafts/{one}"), 404, "not_found")
    problem(client.get(f"/messages/{one}"), 404, "not_found")
    for folder in ("sent", "inbox", "archive"):
        problem(client.patch(f"/messages/{two}", json={"folder": folder}), 422, "invalid")
    client.patch(f"/messages/{two}", json={"folder": "trash"})
    problem(client.get(f"/drafts/{two}"), 404, "not_found")
    client.patch(f"/messages/{two}", json={"folder": "drafts"})
    assert client.get(f"/drafts/{two}").get_json()["subject"] == "two"
    with databases.shard(firm.people[0].shard) as shard:
        assert shard.execute("SELECT count(*) FROM message WHERE id = %s", (one,)).fetchone() == (0,)


def test_a_draft_is_nobody_elses(web, client, firm):
    draft = client.post("/drafts", json={"subject": "mine"}).get_json()["id"]
    other = web.as_(firm.people[1])
    for answer in (
        other.get(f"/drafts/{draft}"),
        other.put(f"/drafts/{draft}", json={}, headers={"If-Match": "*"}),
        other.delete(f"/drafts/{draft}"),
        other.post(f"/drafts/{draft}/send"),
    ):
        problem(answer, 404, "not_found")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"to": "a@b.example"}, {"#/to"}),
        ({"to": ["one\ntwo"]}, {"#/to/0"}),
        ({"cc": ["x" * 1001]}, {"#/cc/0"}),
        ({"subject": "a\r\nBcc: b@c.example"}, {"#/subject"}),
        ({"text": None}, {"#/text"}),
        ({"attachments": None}, {"#/attachments"}),
        ({"attachments": [{"filename": "a", "content": ""}] * 501}, {"#/attachments"}),
        ({"folder": "sent"}, {"#/folder"}),
    ],
)
def test_what_no_draft_can_hold_is_refused(client, body, fields):
    assert pointers(problem(client.post("/drafts", json=body), 422, "invalid")) == fields
    assert in_folder(client, "drafts") == []


def test_a_draft_that_is_too_large_is_refused_and_the_old_one_stays(settings, databases, firm):
    client = gateway(settings, databases, max_message_size=4096).as_(firm.people[0])
    created = client.post("/drafts", json={"text": "short"})
    path = f"/drafts/{created.get_json()['id']}"
    problem(client.put(path, json={"text": "x" * 5000}, headers={"If-Match": "*"}), 413, "too_large")
    assert client.get(path).get_json()["text"] == "short"


def test_each_version_is_another_message_to_an_imap_client(client, databases, firm):
    owner = firm.people[0]
    place = Place(owner.id, Folder.DRAFTS)
    created = client.post("/drafts", json={"text": "one"})
    with databases.shard(owner.shard) as shard:
        (first,) = imap.look(shard, place, now=clock.now()).messages
    client.put(f"/drafts/{created.get_json()['id']}", json={"text": "two"}, headers={"If-Match": "*"})
    with databases.shard(owner.shard) as shard:
        (second,) = imap.look(shard, place, now=clock.now()).messages
        content = imap.content(shard, place, second.uid)
    assert second.uid > first.uid
    assert content is not None
    assert b"two" in content
