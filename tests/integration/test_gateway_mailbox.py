"""Reading mail over HTTP: what becomes a fact (R2, R4, R5), what does not, and what bad requests get."""

from dataclasses import dataclass

import pytest

from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Fact, Folder, author_copy_id
from mailrecall.postgres.databases import Databases
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from tests import company, correspondence
from tests.gateway import Client, Gateway, gateway, pointers, problem

PDF = b"%PDF-1.7 not really\x00\xff"
NOTE = "Größe: 10 µm\r\n".encode()


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> company.Company:
    return company.found(databases)


@dataclass(frozen=True, slots=True)
class Post:
    """A message that one person sent to two others."""

    sender: Account
    reader: Account
    other: Account
    message_id: int
    client: Client
    """The reader's."""

    @property
    def path(self) -> str:
        return f"/messages/{self.message_id}"


@pytest.fixture
def post(web: Gateway, firm: company.Company) -> Post:
    """A message with two attachments, delivered."""
    sender, reader, other = firm.people[:3]
    message = {
        "to": [reader.address, other.address],
        "subject": "Zahlen für März",
        "text": "Anbei die Zahlen.",
        "html": "<p>Anbei die <b>Zahlen</b>.</p>",
        "attachments": [
            {"filename": "Zahlen.pdf", "content_type": "application/pdf", "content": "JVBERi0xLjcgbm90IHJlYWxseQD/"},
            {"filename": "Größe.txt", "content_type": "text/plain", "content": "R3LDtsOfZTogMTAgwrVtDQo="},
        ],
    }
    answer = web.as_(sender).post("/messages", json=message)
    assert answer.status_code == 202
    web.deliver()
    return Post(sender, reader, other, answer.get_json()["id"] & ~1, web.as_(reader))


def facts(databases: Databases, account: Account, copy_id: int) -> Fact:
    with databases.shard(account.shard) as shard:
        row = shard.execute(
            "SELECT facts FROM copy WHERE mailbox_id = %s AND message_id = %s", (account.id, copy_id)
        ).fetchone()
    assert row is not None
    return Fact(row[0])


@pytest.mark.rule(2)
def test_r2_lists_show_headers_and_preview_without_reading(post, databases):
    page = post.client.get("/folders/inbox/messages").get_json()
    entry = next(entry for entry in page["messages"] if entry["id"] == post.message_id)
    assert entry == {
        "id": post.message_id,
        "folder": "inbox",
        "unread": True,
        "from": f"{post.sender.display_name} <{post.sender.address}>",
        "to": f"{post.reader.address}, {post.other.address}",
        "subject": "Zahlen für März",
        "preview": "Anbei die Zahlen.",
        "attachment_count": 2,
        "size": entry["size"],
        "accepted_at": entry["accepted_at"],
        "recall": None,
        "link": f"/api/v1/messages/{post.message_id}",
    }
    inbox = post.client.get("/folders").get_json()["folders"][0]
    assert inbox["slug"] == "inbox"
    assert inbox["unread"] >= 1
    assert facts(databases, post.reader, post.message_id) == Fact(0)


@pytest.mark.rule(2, 4, 5)
@pytest.mark.parametrize("path", ["", "/source", "/attachments/1"])
def test_r2_r4_r5_looking_whether_it_is_there_is_no_read(post, databases, path):
    answer = post.client.ask("HEAD", post.path + path)
    assert (answer.status_code, answer.data) == (200, b"")
    assert "Content-Length" not in answer.headers
    assert facts(databases, post.reader, post.message_id) == Fact(0)


@pytest.mark.rule(2)
def test_r2_opening_shows_the_message_and_makes_it_read(post, databases):
    answer = post.client.get(post.path)
    assert answer.status_code == 200
    opened = answer.get_json()
    assert opened["text"].strip() == "Anbei die Zahlen."
    assert "<b>Zahlen</b>" in opened["html"]
    assert opened["unread"] is False
    assert opened["recall"] is None
    assert [(a["index"], a["filename"], a["content_type"], a["size"]) for a in opened["attachments"]] == [
        (0, "Zahlen.pdf", "application/pdf", len(PDF)),
        (1, "Größe.txt", "text/plain", len(NOTE)),
    ]
    assert facts(databases, post.reader, post.message_id) == Fact.READ
    assert facts(databases, post.other, post.message_id) == Fact(0)


@pytest.mark.rule(5)
def test_r5_downloading_an_attachment_is_a_fact_of_its_own(post, databases):
    answer = post.client.get(post.path + "/attachments/0")
    assert answer.data == PDF
    assert answer.mimetype == "application/pdf"
    assert answer.headers["Content-Disposition"] == "attachment; filename=Zahlen.pdf"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert facts(databases, post.reader, post.message_id) == Fact.ATTACHMENT_DOWNLOADED


@pytest.mark.rule(5)
def test_r5_a_file_name_of_any_script_arrives(post):
    answer = post.client.get(post.path + "/attachments/1")
    assert answer.data == NOTE
    assert answer.content_type == "text/plain"
    assert "filename*=UTF-8''Gr%C3%B6%C3%9Fe.txt" in answer.headers["Content-Disposition"]


@pytest.mark.rule(5)
@pytest.mark.parametrize("index", ["2", "999999", "9" * 5000, "-1", "x"])
def test_r5_an_attachment_that_does_not_exist_is_no_download(post, databases, index):
    problem(post.client.get(f"{post.path}/attachments/{index}"), 404, "not_found")
    assert facts(databases, post.reader, post.message_id) == Fact(0)


@pytest.mark.rule(2, 5)
def test_r2_r5_the_source_is_the_message_byte_for_byte(post, web, databases):
    answer = post.client.get(post.path + "/source")
    assert answer.mimetype == "message/rfc822"
    with databases.shard(post.reader.shard) as shard:
        row = shard.execute("SELECT content FROM body WHERE id = %s", (post.message_id,)).fetchone()
    assert row is not None
    assert answer.data == row[0]
    assert facts(databases, post.reader, post.message_id) == Fact.READ | Fact.ATTACHMENT_DOWNLOADED


@pytest.mark.rule(2)
def test_r2_marking_unread_again_does_not_undo_a_read(post, databases):
    assert post.client.patch(post.path, json={"unread": False}).get_json()["unread"] is False
    assert facts(databases, post.reader, post.message_id) == Fact.READ
    assert post.client.patch(post.path, json={"unread": True}).get_json()["unread"] is True
    assert facts(databases, post.reader, post.message_id) == Fact.READ


@pytest.mark.rule(2)
def test_r2_moving_is_no_read(post, databases):
    moved = post.client.patch(post.path, json={"folder": "archive"}).get_json()
    assert (moved["folder"], moved["unread"]) == ("archive", True)
    listed = post.client.get("/folders/archive/messages").get_json()["messages"]
    assert listed[0]["id"] == post.message_id
    assert facts(databases, post.reader, post.message_id) == Fact(0)


def test_both_can_be_changed_at_once(post):
    changed = post.client.patch(post.path, json={"folder": "junk", "unread": False}).get_json()
    assert (changed["folder"], changed["unread"]) == ("junk", False)


@pytest.mark.rule(9)
def test_r9_deleting_goes_by_the_trash(post, databases):
    assert post.client.delete(post.path).get_json()["folder"] == "trash"
    assert facts(databases, post.reader, post.message_id) == Fact(0)
    assert post.client.delete(post.path).status_code == 204
    assert facts(databases, post.reader, post.message_id) == Fact.DELETED
    problem(post.client.get(post.path), 404, "not_found")
    problem(post.client.delete(post.path), 404, "not_found")


@pytest.mark.rule(9)
def test_r9_deleting_for_good_at_once(post, databases):
    assert post.client.delete(post.path, query_string={"permanent": "true"}).status_code == 204
    assert facts(databases, post.reader, post.message_id) == Fact.DELETED


@pytest.mark.rule(4)
def test_r4_a_forward_encloses_the_message_and_is_a_fact(post, web, databases, firm):
    receiver = firm.people[3]
    answer = post.client.post(post.path + "/forward", json={"to": [receiver.address], "comment": "Bitte prüfen."})
    assert answer.status_code == 202
    assert facts(databases, post.reader, post.message_id) == Fact.FORWARDED
    web.deliver()
    forwarded = web.as_(receiver).get(f"/messages/{answer.get_json()['id'] & ~1}").get_json()
    assert forwarded["subject"] == "Fwd: Zahlen für März"
    assert forwarded["text"].strip() == "Bitte prüfen."
    original = post.client.get(post.path + "/source").data
    (enclosed,) = forwarded["attachments"]
    assert enclosed["content_type"] == "message/rfc822"
    source = web.as_(receiver).get(f"/messages/{forwarded['id']}/source").data
    assert original in source


@pytest.mark.rule(4)
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"to": []}, 422, "invalid"),
        ({"comment": "to nobody"}, 422, "invalid"),
        ({"to": ["nobody@nowhere.example"]}, 422, "recipients_refused"),
        ({"to": ["not an address"]}, 422, "invalid"),
        ({"to": ["a@b.example"], "cc": ["c@b.example"]}, 422, "invalid"),
        ({"to": ["a@b.example"], "comment": 5}, 422, "invalid"),
    ],
)
def test_r4_a_forward_that_is_refused_is_no_forward(post, databases, body, status, code):
    problem(post.client.post(post.path + "/forward", json=body), status, code)
    assert facts(databases, post.reader, post.message_id) == Fact(0)


@pytest.mark.rule(4)
def test_r4_a_failure_between_fact_and_acceptance_leaves_the_copy_where_it_is(post, databases):
    with databases.control() as control:
        control.execute("ALTER TABLE message ADD CONSTRAINT broken CHECK (subject NOT LIKE 'Fwd: %') NOT VALID")
    try:
        problem(post.client.post(post.path + "/forward", json={"to": [post.other.address]}), 500, "internal")
    finally:
        with databases.control() as control:
            control.execute("ALTER TABLE message DROP CONSTRAINT broken")
    assert facts(databases, post.reader, post.message_id) == Fact.FORWARDED


@pytest.mark.rule(16)
def test_r16_a_recalled_copy_is_not_there_any_more(post, web, databases):
    assert isinstance(correspondence.ask(databases, post.sender, post.message_id), Requested)
    web.deliver()
    for method, path, arguments in (
        ("GET", "", {}),
        ("GET", "/source", {}),
        ("GET", "/attachments/0", {}),
        ("HEAD", "", {}),
        ("PATCH", "", {"json": {"unread": True}}),
        ("DELETE", "", {}),
        ("POST", "/forward", {"json": {"to": [post.other.address]}}),
    ):
        assert post.client.ask(method, post.path + path, **arguments).status_code == 404
    listed = post.client.get("/folders/inbox/messages").get_json()["messages"]
    assert post.message_id not in {entry["id"] for entry in listed}


def test_another_accounts_message_does_not_exist(post, web, databases, firm):
    stranger = web.as_(firm.people[3])
    for method, path, arguments in (
        ("GET", "", {}),
        ("GET", "/source", {}),
        ("GET", "/attachments/0", {}),
        ("HEAD", "", {}),
        ("PATCH", "", {"json": {"unread": False}}),
        ("DELETE", "?permanent=true", {}),
        ("POST", "/forward", {"json": {"to": [firm.people[3].address]}}),
    ):
        assert stranger.ask(method, post.path + path, **arguments).status_code == 404
    # nor does the sender's own copy for the one who received the message
    problem(post.client.get(f"/messages/{author_copy_id(post.message_id)}"), 404, "not_found")
    assert facts(databases, post.reader, post.message_id) == Fact(0)
    assert facts(databases, post.sender, author_copy_id(post.message_id)) == Fact(0)


@pytest.mark.parametrize("number", ["0", "4", str(2**63), "9" * 5000, "abc", "1e3", "-2"])
def test_a_number_that_is_no_message_is_not_found(web, firm, number):
    problem(web.as_(firm.people[3]).get(f"/messages/{number}"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"#"}),
        ({"unread": "yes"}, {"#/unread"}),
        ({"unread": 1}, {"#/unread"}),
        ({"unread": None}, {"#/unread"}),
        ({"folder": "elsewhere"}, {"#/folder"}),
        ({"folder": ["inbox"]}, {"#/folder"}),
        ({"folder": "sent"}, {"#/folder"}),
        ({"folder": "drafts"}, {"#/folder"}),
        ({"flagged": True}, {"#/flagged"}),
        ({"unread": True, "a/b~c": 1}, {"#/a~1b~0c"}),
    ],
)
def test_a_change_that_makes_no_sense_changes_nothing(post, databases, body, fields):
    assert pointers(problem(post.client.patch(post.path, json=body), 422, "invalid")) == fields
    assert facts(databases, post.reader, post.message_id) == Fact(0)


@pytest.mark.rule(15)
def test_r15_what_was_sent_stays_among_what_was_sent(post, web):
    client, path = web.as_(post.sender), f"/messages/{author_copy_id(post.message_id)}"
    assert pointers(problem(client.patch(path, json={"folder": "inbox"}), 422, "invalid")) == {"#/folder"}
    assert client.patch(path, json={"folder": "trash"}).status_code == 200
    assert client.patch(path, json={"folder": "sent"}).get_json()["folder"] == "sent"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "bad_json"),
        (b"", "application/json", 400, "bad_json"),
        (b"[]", "application/json", 400, "bad_json"),
        (b"null", "application/json", 400, "bad_json"),
        (b'"\xff"', "application/json", 400, "bad_json"),
        (b'{"unread": NaN}', "application/json", 400, "bad_json"),
        (b"[" * 100_000, "application/json", 400, "bad_json"),
        (b'{"unread": ' + b"9" * 5000 + b"}", "application/json", 400, "bad_json"),
        (b"unread=true", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"unread": true}', "text/plain", 415, "unsupported_media_type"),
        (b'{"unread": true}', None, 415, "unsupported_media_type"),
    ],
)
def test_a_body_that_is_none(post, body, content_type, status, code):
    problem(post.client.patch(post.path, data=body, content_type=content_type), status, code)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "#/limit"),
        ("limit=201", "#/limit"),
        ("limit=ten", "#/limit"),
        ("limit=1&limit=2", "#/limit"),
        ("cursor=-1", "#/cursor"),
        ("cursor=99999999999999999999", "#/cursor"),
        ("sort=subject", "#/sort"),
    ],
)
def test_a_query_that_makes_no_sense(web, firm, query, field):
    answer = web.as_(firm.people[0]).get(f"/folders/inbox/messages?{query}")
    assert pointers(problem(answer, 422, "invalid")) == {field}


def test_a_folder_that_does_not_exist(web, firm):
    problem(web.as_(firm.people[0]).get("/folders/elsewhere/messages"), 404, "not_found")


def test_a_deletion_that_cannot_be_understood_deletes_nothing(post, databases):
    problem(post.client.delete(post.path, query_string={"permanent": "1"}), 422, "invalid")
    problem(post.client.delete(post.path, query_string={"forever": "true"}), 422, "invalid")
    assert correspondence.has_copy(databases, post.reader, post.message_id)


def test_pages_lead_through_a_folder_without_gap_or_repetition(web, databases):
    firm = company.found(databases, people=2)
    sent = [correspondence.send(databases, firm.people[0], firm.people[1]) for _ in range(5)]
    web.deliver()
    client, seen, query = web.as_(firm.people[1]), [], {"limit": "2"}
    for expected in (2, 2, 1):
        answer = client.get("/folders/inbox/messages", query_string=query)
        page = answer.get_json()
        assert len(page["messages"]) == expected
        seen += [entry["id"] for entry in page["messages"]]
        if page["next_cursor"] is not None:
            assert f"cursor={page['next_cursor']}" in answer.headers["Link"]
            query["cursor"] = str(page["next_cursor"])
    assert page["next_cursor"] is None
    assert seen == sorted(sent, reverse=True)
    assert client.get("/folders").get_json()["folders"] == [
        {"slug": folder.slug, "total": n, "unread": n, "link": f"/api/v1/folders/{folder.slug}/messages"}
        for folder in Folder
        for n in ([5] if folder is Folder.INBOX else [0])
    ]
