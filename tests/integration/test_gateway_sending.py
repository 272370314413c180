"""Sending over HTTP: as JSON and as a form; everything is looked up and measured before anything is accepted."""

import io
from email import message_from_bytes, policy
from typing import Any

import pytest

from mailrecall.domain.recalls import Channel
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company
from tests.gateway import Client, Gateway, gateway, pointers, problem


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> company.Company:
    return company.found(databases)


@pytest.fixture
def client(web: Gateway, firm: company.Company) -> Client:
    return web.as_(firm.people[0])


def messages(databases: Databases) -> Any:
    with databases.control() as control:
        row = control.execute("SELECT count(*) FROM message").fetchone()
    assert row is not None
    return row[0]


def parsed(source: bytes):
    return message_from_bytes(source, policy=policy.default)


def test_a_message_reaches_to_cc_and_bcc_and_the_senders_own_folder(client, web, firm):
    _, to, cc, bcc = firm.people
    answer = client.post(
        "/messages",
        json={
            "to": [to.address],
            "cc": [cc.address],
            "bcc": [bcc.address],
            "subject": "Grüße",
            "text": "Hello,\nworld.",
            "html": "<p>Hello</p>",
            "attachments": [{"filename": "a.bin", "content": "AAEC\n/w=="}],
        },
    )
    assert answer.status_code == 202
    sent = answer.get_json()
    assert sent["id"] % 2 == 1
    assert sent["link"] == answer.headers["Location"] == f"/api/v1/messages/{sent['id']}"
    web.deliver()
    for person in (to, cc, bcc):
        source = web.as_(person).get(f"/messages/{sent['id'] & ~1}/source").data
        message = parsed(source)
        assert (message["From"], message["To"], message["Cc"]) == (
            f"{firm.people[0].display_name} <{firm.people[0].address}>",
            to.address,
            cc.address,
        )
        assert "Bcc" not in message
        assert bcc.address.encode() not in source
        assert message["Subject"] == "Grüße"
        (attachment,) = message.iter_attachments()
        assert (attachment.get_filename(), attachment.get_content()) == ("a.bin", b"\x00\x01\x02\xff")
    own = client.get(f"/messages/{sent['id']}").get_json()
    assert (own["folder"], own["unread"], own["to"], own["recall"]) == ("sent", False, to.address, None)
    assert client.get("/folders/sent/messages").get_json()["messages"][0]["id"] == sent["id"]


def test_what_webmail_sends_is_marked_as_sent_from_webmail(client, databases, firm):
    sent = client.post("/messages", json={"to": [firm.people[1].address]}).get_json()
    with databases.control() as control:
        row = control.execute(
            "SELECT channel, sender_account_id FROM message WHERE id = %s", (sent["id"] & ~1,)
        ).fetchone()
    assert row == (Channel.WEBMAIL, firm.people[0].id)


def test_a_form_with_files_sends_the_same_message(client, web, firm):
    answer = client.post(
        "/messages",
        data={
            "to": [firm.people[1].address, firm.people[2].address],
            "subject": "Form",
            "text": "With files.",
            "attachments": [
                (io.BytesIO(b"one"), "one.txt", "text/plain"),
                (io.BytesIO(b"\x00two"), "zwei größer.bin"),
            ],
        },
        content_type="multipart/form-data",
    )
    assert answer.status_code == 202
    web.deliver()
    message = parsed(web.as_(firm.people[2]).get(f"/messages/{answer.get_json()['id'] & ~1}/source").data)
    one, two = message.iter_attachments()
    assert (one.get_filename(), one.get_content_type(), one.get_payload(decode=True)) == (
        "one.txt",
        "text/plain",
        b"one",
    )
    assert (two.get_filename(), two.get_payload(decode=True)) == ("zwei größer.bin", b"\x00two")
    assert message["To"] == f"{firm.people[1].address}, {firm.people[2].address}"


@pytest.mark.rule(1)
def test_r1_aliases_tags_and_repetitions_lead_to_one_copy(web, databases, firm):
    person = company.hire(databases, f"ann@{firm.domain}", aliases=[f"a.nn@{firm.domain}"])
    addresses = [person.address, f"a.nn@{firm.domain}", f"ANN+news@{firm.domain}", person.address]
    answer = web.as_(firm.people[0]).post("/messages", json={"to": addresses})
    with databases.control() as control:
        rows = control.execute(
            "SELECT address, account_id FROM envelope_recipient WHERE message_id = %s", (answer.get_json()["id"] & ~1,)
        ).fetchall()
    assert rows == [(person.address, person.id)]


def test_a_group_is_an_addressee(client, web, databases, firm):
    group = company.group(databases, f"staff@{firm.domain}", firm.people)
    answer = client.post("/messages", json={"to": [group.address], "subject": "All"})
    web.deliver()
    for person in firm.people:
        assert web.as_(person).get(f"/messages/{answer.get_json()['id'] & ~1}").status_code == 200


def test_recipients_that_cannot_get_it_are_all_named_and_nothing_is_stored(client, databases, firm):
    before = messages(databases)
    answer = client.post(
        "/messages",
        json={
            "to": [firm.people[1].address, f"nobody@{firm.domain}"],
            "cc": ["someone@elsewhere.example"],
            "bcc": [f"nobody-either@{firm.domain}"],
            "text": "Hello",
        },
    )
    errors = {e["pointer"]: e for e in problem(answer, 422, "recipients_refused")["errors"]}
    assert {pointer: error["code"] for pointer, error in errors.items()} == {
        "#/to/1": "unknown_recipient",
        "#/cc/0": "external_refused",
        "#/bcc/0": "unknown_recipient",
    }
    assert f"nobody@{firm.domain}" in errors["#/to/1"]["detail"]
    assert "someone@elsewhere.example" in errors["#/cc/0"]["detail"]
    assert messages(databases) == before


def test_mail_to_the_outside_is_taken_where_there_is_a_way_out(settings, databases, firm):
    web = gateway(settings, databases, smarthost="smtp.company.example:25")
    answer = web.as_(firm.people[0]).post("/messages", json={"to": ["someone@elsewhere.example"]})
    assert answer.status_code == 202


def test_another_host_gets_its_addresses_as_they_were_written(settings, databases, firm):
    web = gateway(settings, databases, smarthost="smtp.company.example:25")
    to = ["Some.One@Elsewhere.example", firm.people[1].address.upper()]
    sent = web.as_(firm.people[0]).post("/messages", json={"to": to}).get_json()
    with databases.control() as control:
        rows = control.execute(
            "SELECT address FROM envelope_recipient WHERE message_id = %s ORDER BY position", (sent["id"] & ~1,)
        ).fetchall()
        content = control.execute("SELECT m.to_header FROM message m WHERE m.id = %s", (sent["id"] & ~1,)).fetchone()
    assert [address for (address,) in rows] == ["Some.One@elsewhere.example", firm.people[1].address]
    assert content is not None
    assert content[0].startswith("Some.One@elsewhere.example, ")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"#/to"}),
        ({"to": []}, {"#/to"}),
        ({"to": "a@b.example"}, {"#/to"}),
        ({"to": ["nonsense"]}, {"#/to/0"}),
        ({"to": ["a@b.example", 7]}, {"#/to/1"}),
        ({"to": ["a@b.example\r\nBcc: c@d.example"]}, {"#/to/0"}),
        ({"to": ["\ud800@b.example"]}, {"#/to/0"}),
        ({"to": ["a@b.example"], "subject": "One\r\nBcc: x@y.example"}, {"#/subject"}),
        ({"to": ["a@b.example"], "subject": "\x00"}, {"#/subject"}),
        ({"to": ["a@b.example"], "subject": None}, {"#/subject"}),
        ({"to": ["a@b.example"], "text": "\ud800"}, {"#/text"}),
        ({"to": ["a@b.example"], "text": "a\x00b"}, {"#/text"}),
        ({"to": ["a@b.example"], "from": "boss@b.example"}, {"#/from"}),
        ({"to": ["a@b.example"], "\ud800": "half a character"}, {"#/\ud800"}),
        ({"to": ["a@b.example"], "attachments": [{}]}, {"#/attachments/0/filename", "#/attachments/0/content"}),
        ({"to": ["a@b.example"], "attachments": [{"filename": "a", "content": "?"}]}, {"#/attachments/0/content"}),
        ({"to": ["a@b.example"], "attachments": [{"filename": " ", "content": ""}]}, {"#/attachments/0/filename"}),
        (
            {"to": ["a@b.example"], "attachments": [{"filename": "a\r\nb", "content": ""}]},
            {"#/attachments/0/filename"},
        ),
        (
            {"to": ["a@b.example"], "attachments": [{"filename": "a", "content": "", "content_type": "multipart/x"}]},
            {"#/attachments/0/content_type"},
        ),
        (
            {"to": ["a@b.example"], "attachments": [{"filename": "a", "content": "", "disposition": "inline"}]},
            {"#/attachments/0/disposition"},
        ),
    ],
)
def test_a_message_that_makes_no_sense_is_refused_field_by_field(client, databases, body, fields):
    before = messages(databases)
    assert pointers(problem(client.post("/messages", json=body), 422, "invalid")) == fields
    assert messages(databases) == before


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ({"subject": "To nobody"}, {"#/to"}),
        ({"to": "a@b.example", "sender": "boss@b.example"}, {"#/sender"}),
        ({"to": "a@b.example", "subject": ["One", "Two"]}, {"#/subject"}),
        ({"to": "a@b.example", "file": (io.BytesIO(b""), "x.txt")}, {"#/file"}),
        ({"to": "a@b.example", "attachments": (io.BytesIO(b""), "x.txt", "nonsense")}, {"#/content_type"}),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(client, databases, form, fields):
    before = messages(databases)
    answer = client.post("/messages", data=form, content_type="multipart/form-data; boundary=xxx")
    assert pointers(problem(answer, 422, "invalid")) == fields
    assert messages(databases) == before


def test_a_message_has_no_more_attachments_than_can_be_written_down_quickly(client, databases, firm):
    before = messages(databases)
    to = firm.people[1].address
    # the second one is no attachment at all: nobody looked at it
    in_json = {"to": [to], "attachments": [{"filename": "a", "content": ""}, 7] * 251}
    in_form = {"to": to, "attachments": [(io.BytesIO(b""), f"{i}.txt") for i in range(501)]}
    for answer in (
        client.post("/messages", json=in_json),
        client.post("/messages", data=in_form, content_type="multipart/form-data"),
    ):
        refused = problem(answer, 422, "invalid")
        assert pointers(refused) == {"#/attachments"}
        assert "500" in refused["detail"]
    assert messages(databases) == before


def test_a_message_may_have_as_many_attachments_as_are_allowed(client, web, firm):
    to = firm.people[1]
    in_json = {"to": [to.address], "attachments": [{"filename": "a", "content": ""}] * 500}
    in_form = {"to": to.address, "attachments": [(io.BytesIO(b""), f"{i}.txt") for i in range(500)]}
    sent = [
        client.post("/messages", json=in_json).get_json(),
        client.post("/messages", data=in_form, content_type="multipart/form-data").get_json(),
    ]
    web.deliver()
    for message in sent:
        assert len(web.as_(to).get(f"/messages/{message['id'] & ~1}").get_json()["attachments"]) == 500


def test_a_form_in_pieces_is_refused(client):
    answer = client.post("/messages", data=b"--x\r\nnonsense", content_type="multipart/form-data; boundary=x")
    assert answer.status_code in (400, 422)
    answer = client.post("/messages", data=b"nonsense", content_type="multipart/form-data")
    assert answer.status_code in (400, 422)


def test_a_body_of_another_type_is_refused(client):
    problem(client.post("/messages", data="to=a@b.example"), 415, "unsupported_media_type")
    answer = client.post("/messages", data={"to": "a@b.example"}, content_type="application/x-www-form-urlencoded")
    problem(answer, 415, "unsupported_media_type")


def test_a_message_that_would_be_too_large_is_refused(settings, databases, firm):
    web = gateway(settings, databases, max_message_size=4096)
    client = web.as_(firm.people[0])
    before = messages(databases)
    answer = client.post("/messages", json={"to": [firm.people[1].address], "text": "x" * 5000})
    assert "4096" in problem(answer, 413, "too_large")["detail"]
    assert messages(databases) == before
    assert client.post("/messages", json={"to": [firm.people[1].address], "text": "x" * 100}).status_code == 202


def test_a_request_that_is_too_large_is_not_even_read(settings, databases, firm):
    web = gateway(settings, databases, max_upload=2048)
    client = web.as_(firm.people[0])
    body = {"to": [firm.people[1].address], "text": "x" * 3000}
    problem(client.post("/messages", json=body), 413, "too_large")
    problem(client.post("/messages", data=body, content_type="multipart/form-data"), 413, "too_large")


def test_a_message_names_no_more_recipients_than_allowed(settings, databases, firm):
    web = gateway(settings, databases, max_recipients=2)
    client = web.as_(firm.people[0])
    two, third = [person.address for person in firm.people[1:3]], firm.people[3].address
    assert client.post("/messages", json={"to": two}).status_code == 202
    problem(client.post("/messages", json={"to": two, "bcc": [third]}), 422, "invalid")
