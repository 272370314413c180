"""Anything from browsers of people who are signed in: every form of the pages, and what their addresses carry."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from mailrecall.directory.lookup import Account
from tests.browsing import Visitor
from tests.fuzz import answering
from tests.fuzz.asking import Ask, Pairs, spoilt
from tests.fuzz.inputs import MESSAGES
from tests.fuzz.scenes import SCENES, Scene, scene
from tests.gateway import Gateway, gateway

_COOKIE = "mailrecall_session"


class Browser:
    """A browser of somebody who is signed in, and what it asks for."""

    def __init__(self, web: Gateway, account: Account) -> None:
        visitor = Visitor(web.app)
        assert visitor.sign_in(account.address).status_code == 303
        cookie = visitor.client.get_cookie(_COOKIE)
        assert cookie is not None
        self._head = {"Cookie": f"{_COOKIE}={cookie.value}; mailrecall_zone=Asia%2FShanghai", "Accept": "text/html"}
        self._token = visitor.token()

    def get(self, path: str, **query: str) -> Ask:
        return Ask("GET", path, self._head, query=_pairs(query))

    def post(self, path: str, **fields: str) -> Ask:
        return Ask("POST", path, self._head, fields=[("csrf_token", self._token.encode()), *_pairs(fields)])

    def write(self, path: str, fields: Mapping[str, str], files: Pairs = (), *, by_itself: bool = False) -> Ask:
        """Send a message's form, as people do or as the page does by itself."""
        head = self._head | ({"HX-Request": "true"} if by_itself else {})
        return replace(self.post(path, **fields), head=head, files=files)


def _pairs(values: Mapping[str, str]) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in values.items()]


def _webmail(browser: Browser, there: Scene) -> list[Ask]:
    to, mail = there.other.address, f"/mail/inbox/{there.received[0]}"
    draft = {"draft_id": str(there.drafts[0]), "version": "1", "drop": "0"}
    written = {"to": to, "cc": f"{there.user.address}; {to}", "bcc": "", "subject": "Figures", "text": "Hello\r\nthere"}
    files = [("图.txt", b"contents"), ("message.eml", MESSAGES[0])]
    return [
        browser.get("/mail/sent", before="99", sending=str(there.sent), until="4102444800"),
        browser.get(mail, images="1"),
        browser.get(f"{mail}/body", images="1"),
        browser.get(f"{mail}/attachments/1"),
        browser.post(f"{mail}/unread"),
        *(browser.post(f"/mail/inbox/{other}/move", folder="archive") for other in there.received[1:3]),
        *(browser.post(f"/mail/inbox/{other}/delete") for other in there.received[3:5]),
        browser.get("/compose", to=to),
        browser.get(f"/compose/{there.drafts[0]}"),
        browser.get(f"/compose/reply/{there.received[0]}"),
        browser.get(f"/compose/forward/{there.received[0]}"),
        browser.write("/compose/save", written | draft),
        browser.write("/compose/save", written, files, by_itself=True),
        browser.write("/compose/send", written | {"in_reply_to": "<a@b.example>"}, files),
        browser.post(f"/compose/{there.drafts[0]}/take-back"),
        browser.post(f"/compose/{there.drafts[1]}/discard"),
        browser.post(f"/compose/forward/{there.received[0]}", to=to, text="See below"),
        browser.get(f"/recall/{there.sent}"),
        browser.post(f"/recall/{there.sent}", reason="Wrong group"),
        browser.get(f"/recalls/{there.recall}"),
        browser.get(f"/recalls/{there.recall}/pace"),
        browser.post(f"/recalls/{there.recall}/again"),
        browser.get("/settings"),
        browser.post("/settings", language="zh", time_zone="Europe/Berlin", delay="5", theme="dark"),
        browser.post("/language", language="en", next="/mail/inbox?before=5"),
        browser.get("/sign-in", next="/mail/inbox"),
    ]


def _console(browser: Browser, second: Browser, there: Scene) -> list[Ask]:
    message, who = str(there.sent & ~1), there.user.address
    time = {"since": "2026-03-01T00:00", "until": "2036-03-02T09:30"}
    found = {"subject": "figures", "sender": who, "recipient": there.other.address, **time, "only_unread": "true"}
    chosen = {"message": message, "messages": f"{message},{there.held[0]},7", "only_unread": "true"}
    policy = {"scope": "organisation", "group_mode": "each", "window_user": "24", "window_admin": "168"}
    policy |= {"retention": "7", "approval_above": "0", "recalls_per_hour": "1000000"}
    policy |= dict.fromkeys(("tombstone", "notify_author", "admin_sees_failed_accounts"), "true")
    batch, recall = f"/console/batches/{there.batch}", f"/console/recalls/{there.recall}"
    held, decided = (f"/console/held/{number}" for number in there.held)
    return [
        browser.get("/console", **found, cursor=f"1772409600000000-{message}"),
        browser.get("/console", subject="f"),
        browser.post("/console/recall", **chosen, reason="Wrong group"),
        browser.post("/console/recall/ask", **chosen, reason="Wrong group"),
        browser.get("/console/batches", cursor="99"),
        browser.get("/console/approvals", cursor="99"),
        browser.get(batch, cursor="1", asked="1"),
        second.post(f"{batch}/approve"),
        second.post(f"{batch}/reject"),
        browser.get("/console/recalls", cursor="99"),
        browser.get(recall, failed="WyJsb2NhbCIsMSwyXQ"),
        browser.get(f"{recall}/failures.csv"),
        browser.post(f"{recall}/undo", reason="It was right"),
        browser.post(f"{recall}/again"),
        browser.get("/console/accounts", search="person", after=who),
        browser.get(f"/console/accounts/{there.user.id}", cursor="99"),
        browser.get("/console/groups", search="all", after="a"),
        browser.get(f"/console/groups/{there.group_id}", after=f"account:{who}"),
        browser.get(f"/console/groups/{there.group_id}/everybody", after=f"account:{who}"),
        browser.get("/console/held", cursor="99"),
        browser.get(held),
        browser.get(f"{held}/body"),
        browser.post(f"{decided}/release"),
        browser.post(f"{decided}/reject", reason="Not like this"),
        browser.get("/console/rules"),
        browser.post("/console/rules", name="Secrets", group_size="3", sender=who, keyword="secret", external="true"),
        browser.post("/console/rules/2/remove"),
        browser.get("/console/holds"),
        browser.post("/console/holds", address=who, reason="A court asks"),
        browser.post("/console/holds/lift", address=who),
        browser.get("/console/trail", recall=there.recall, cursor="99"),
        browser.get("/console/policy"),
        browser.post("/console/policy", **policy, **{f"shown-{name}": value for name, value in policy.items()}),
        browser.post("/console/policy", window_user="1.5", retention="0,5"),
        browser.get("/console/state"),
    ]


@pytest.fixture
def asks(settings, databases) -> list[list[Ask]]:
    """What people of several companies ask for: in each somebody with a mailbox, and two administrators."""
    web = gateway(settings, databases)
    asks = []
    for there in (scene(web) for _ in range(SCENES)):
        user, administrator, second = (Browser(web, who) for who in (there.user, there.administrator, there.second))
        asks.append([*_webmail(user, there), *_console(administrator, second, there)])
    return asks


def test_no_form_or_page_is_answered_with_a_failure(settings, asks, tmp_path):
    with answering.running(settings, tmp_path) as (server, port):
        answers = answering.ask(server, port, spoilt(*asks, salt="pages"))
    # others have their cookie or token spoilt, or are no HTTP
    assert answers.share_inside > 0.7
