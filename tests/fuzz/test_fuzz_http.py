"""Anything over HTTP to the API: no answer of 500 or more, and the gateway goes on."""

import base64
from typing import Any

import pytest

from mailrecall.directory.lookup import Account
from tests.company import PASSWORD
from tests.fuzz import answering
from tests.fuzz.asking import Ask, Pairs, spoilt
from tests.fuzz.scenes import SCENES, Scene, scene
from tests.gateway import gateway


class Program:
    """A program that bears somebody's address and password, and what it asks for."""

    def __init__(self, account: Account) -> None:
        login = base64.b64encode(f"{account.address}:{PASSWORD}".encode()).decode()
        self._head = {"Authorization": f"Basic {login}"}

    def get(self, path: str, **query: str) -> Ask:
        pairs: Pairs = [(name, value.encode()) for name, value in query.items()]
        return Ask("GET", f"/api/v1{path}", self._head, query=pairs)

    def send(self, method: str, path: str, **document: Any) -> Ask:
        return Ask(method, f"/api/v1{path}", self._head, document=document)


def _mail(program: Program, there: Scene) -> list[Ask]:
    attachment = {"filename": "图.pdf", "content_type": "application/pdf", "content": "JVBERi0xLjQK"}
    message = {"to": [there.other.address], "cc": [there.user.address], "subject": "Figures", "text": "Hello"}
    read, *others = (f"/messages/{number}" for number in there.received)
    return [
        program.send("POST", "/messages", **message, html="<p>Hello</p>", delay=0, attachments=[attachment]),
        program.send("POST", "/drafts", **message, attachments=[]),
        program.send("PUT", f"/drafts/{there.drafts[0]}", **message, attachments=[attachment]),
        program.send("POST", f"/drafts/{there.drafts[1]}/send", delay=0),
        program.get("/folders/inbox/messages", limit="5", cursor="abc"),
        program.get(read),
        program.get(f"{read}/attachments/0"),
        program.get(f"/messages/{there.sent}/recall-preview"),
        program.send("PATCH", read, unread=True, folder="archive"),
        program.send("PATCH", others[0], folder="trash"),
        program.send("POST", f"{read}/forward", to=[there.other.address], comment="See below"),
        program.send("POST", "/recalls", message_id=there.sent, reason="Wrong group"),
        program.get(f"/recalls/{there.recall}"),
        program.get(f"/recalls/{there.recall}/recipients"),
        program.send("PUT", "/account/forwarding", address=there.other.address),
        program.send("PUT", "/account/sending", delay=5),
        program.send("POST", "/tokens", name="Phone", scopes=["read"], lifetime=3_600),
        Ask("GET", "/sign-in", {}, query=[("next", b"/mail/inbox")]),
        Ask("GET", "/help", {}),
    ]


def _oversight(program: Program, second: Program, there: Scene) -> list[Ask]:
    time = {"since": "2026-03-01", "until": "2036-03-01T09:00:00", "zone": "Asia/Shanghai"}
    held, decided = (f"/held/{number}" for number in there.held)
    return [
        program.get("/admin/messages", subject="a", sender=there.user.address, **time, only_unread="true", limit="5"),
        program.send(
            "POST", "/admin/recall-batches", message_ids=[there.sent & ~1, 4], reason="Group", only_unread=True
        ),
        program.get(f"/admin/recall-batches/{there.batch}/messages", limit="5", cursor="1"),
        second.send("POST", f"/admin/approvals/{there.batch}/approve"),
        program.send("PATCH", "/admin/policy", window_user=3_600, scope="domain", tombstone=True, approval_above=0),
        program.send("PUT", f"/admin/accounts/{there.user.address}/hold", reason="A court asks"),
        program.get("/admin/audit", recall=there.recall, cursor="7", limit="5"),
        program.get(f"/recalls/{there.recall}/failures", cursor="WyJsb2NhbCIsMSwyXQ", limit="5"),
        program.send("POST", f"/recalls/{there.recall}/undo", reason="It was right"),
        program.send("POST", "/audit-rules", name="Secrets", keyword="secret", group_size=3, external=True),
        program.get(held),
        program.send("POST", f"{decided}/reject", reason="Not like this"),
    ]


@pytest.fixture
def asks(settings, databases) -> list[list[Ask]]:
    """What programs of people of several companies ask for."""
    web = gateway(settings, databases)
    asks = []
    for there in (scene(web) for _ in range(SCENES)):
        administrator, second = Program(there.administrator), Program(there.second)
        asks.append([*_mail(Program(there.user), there), *_oversight(administrator, second, there)])
    return asks


def test_no_request_is_answered_with_a_failure(settings, asks, tmp_path):
    with answering.running(settings, tmp_path) as (server, port):
        answers = answering.ask(server, port, spoilt(*asks, salt="http"))
    # others have their address or password spoilt, or are no HTTP
    assert answers.share_inside > 0.6
