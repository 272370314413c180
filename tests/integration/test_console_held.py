"""R30: held mail in the console: what a moderator sees of it, and who is one."""

import html
import re
from dataclasses import dataclass

import pytest

from mailrecall.directory import audit_rules
from mailrecall.directory.lookup import Account
from mailrecall.domain.audit import Criteria
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from services.gateway.pages.console import held
from tests import company as companies
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, example_path, gateway

MARKUP = (
    '<p>Look at this <b>contract</b></p><script>alert("x")</script><img src="https://tracker.example/1.png" alt="logo">'
)


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@dataclass(frozen=True, slots=True)
class Scene:
    """A company of which one message waits, with HTML, a picture from elsewhere and an attachment."""

    firm: Company
    author: Account
    recipient: Account
    moderator: Account
    address: str
    """Of the message's page."""


@pytest.fixture(scope="module")
def scene(web: Gateway, databases: Databases) -> Scene:
    firm = companies.found(databases, people=3)
    author, recipient, moderator = firm.people
    with databases.control() as control:
        audit_rules.add_rule(control, firm.organisation_id, "Contracts", Criteria(keyword="contract"))
        audit_rules.set_moderator(control, moderator.id, moderator=True)
    body = {
        "to": [recipient.address],
        "subject": "The terms",
        "text": "Only programs without HTML show this.",
        "html": MARKUP,
        "attachments": [{"filename": "terms.txt", "content": "NDIK"}],
    }
    sent = web.as_(author).post("/messages", json=body).get_json()["id"]
    web.deliver()
    return Scene(firm, author, recipient, moderator, f"/console/held/{sent & ~1}")


def signed_in(web: Gateway, account: Account, language: str = "en") -> Visitor:
    visitor = Visitor(web.app, language=language)
    assert visitor.sign_in(account.address).status_code == 303
    return visitor


@pytest.mark.rule(30)
def test_r30_a_moderator_sees_what_recipients_will_see(web: Gateway, scene: Scene):
    admin = signed_in(web, scene.firm.postmaster)
    shown = admin.get(scene.address).get_data(as_text=True)
    assert f'src="{scene.address}/body"' in shown
    assert 'sandbox="allow-same-origin allow-popups' in shown
    assert "Pictures from elsewhere are not shown" in shown
    assert f'href="{scene.address}/attachments/0"' in shown
    # both are sent, and who reads without HTML sees the other
    assert "Only programs without HTML show this." in shown

    framed = admin.get(f"{scene.address}/body")
    inside = framed.get_data(as_text=True)
    assert "<b>contract</b>" in inside
    assert "alert" not in inside
    assert "tracker.example" not in inside
    assert framed.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "https:" not in framed.headers["Content-Security-Policy"]
    assert "sandbox" in framed.headers["Content-Security-Policy"]

    file = admin.get(f"{scene.address}/attachments/0")
    assert (file.status_code, file.data) == (200, b"42\n")
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert admin.get(f"{scene.address}/attachments/1").status_code == 404


@pytest.mark.rule(24, 30)
def test_r24_r30_what_waits_is_for_moderators_of_the_same_organisation(web: Gateway, databases, scene: Scene):
    elsewhere = companies.found(databases, people=0)
    for account in (scene.recipient, scene.author, elsewhere.postmaster):
        visitor = signed_in(web, account)
        for path in ("", "/body", "/attachments/0"):
            assert visitor.get(scene.address + path).status_code == 404, (account.address, path)


@pytest.mark.rule(2, 5, 30)
def test_r30_to_moderate_is_nobodys_read_and_nobodys_download(web: Gateway, databases: Databases):
    """Released after its moderator has seen all of it, it is recalled from everybody."""
    firm = companies.found(databases, people=2)
    author, recipient = firm.people
    with databases.control() as control:
        audit_rules.add_rule(control, firm.organisation_id, "Contracts", Criteria(keyword="contract"))
    body = {
        "to": [recipient.address],
        "subject": "Terms",
        "html": MARKUP,
        "attachments": [{"filename": "terms.txt", "content": "NDIK"}],
    }
    sent = web.as_(author).post("/messages", json=body).get_json()["id"]
    web.deliver()
    admin = signed_in(web, firm.postmaster)
    address = f"/console/held/{sent & ~1}"
    for path in ("", "/body", "/attachments/0"):
        assert admin.get(address + path).status_code == 200
    assert admin.submit(f"{address}/release").status_code == 303
    web.deliver()
    recall = web.as_(author).post("/recalls", json={"message_id": sent, "reason": "wrong"}).get_json()["id"]
    web.deliver()
    assert web.as_(author).get(f"/recalls/{recall}").get_json()["outcomes"] == {"recalled": 1}


@pytest.mark.rule(30)
def test_r30_a_moderator_has_the_held_mail_and_nothing_else_of_the_console(web: Gateway, scene: Scene):
    """Every other page of the console, from the route map, is not there."""
    moderator = signed_in(web, scene.moderator)
    inbox = moderator.get("/mail/inbox").get_data(as_text=True)
    assert 'href="/console/held"' in inbox
    assert 'href="/console"' not in inbox
    listed = moderator.get("/console/held").get_data(as_text=True)
    assert "The terms" in listed
    for path in ("", "/body", "/attachments/0"):
        assert moderator.get(scene.address + path).status_code == 200, path

    links = set(re.findall(r'href="(/console[^"]*)"', listed))
    assert links == {"/console/held", scene.address}
    held, others = 0, 0
    for rule in web.app.url_map.iter_rules():
        if not rule.rule.startswith("/console"):
            continue
        if rule.rule.startswith("/console/held"):
            held += 1
            continue
        path = example_path(web.app, rule)
        answer = moderator.get(path) if "GET" in (rule.methods or ()) else moderator.submit(path)
        assert answer.status_code == 404, rule.rule
        others += 1
    assert held >= 6
    assert others >= 20


@pytest.mark.rule(30)
def test_r30_a_moderator_decides(web: Gateway, databases: Databases):
    firm = companies.found(databases, people=3)
    author, recipient, person = firm.people
    with databases.control() as control:
        audit_rules.add_rule(control, firm.organisation_id, "Contracts", Criteria(keyword="contract"))
        audit_rules.set_moderator(control, person.id, moderator=True)
    sent = [
        web.as_(author).post("/messages", json={"to": [recipient.address], "subject": f"contract {number}"})
        for number in range(2)
    ]
    released, rejected = (f"/console/held/{answer.get_json()['id'] & ~1}" for answer in sent)
    moderator = signed_in(web, person, "zh-CN")
    assert moderator.submit(f"{released}/release").status_code == 303
    assert moderator.submit(f"{rejected}/reject", {"reason": "Not yet signed"}).status_code == 303
    web.deliver()
    (arrived,) = web.as_(recipient).get("/folders/inbox/messages").get_json()["messages"]
    assert arrived["subject"] == "contract 0"
    # the role is looked up with every request
    with databases.control() as control:
        audit_rules.set_moderator(control, person.id, moderator=False)
    assert moderator.get("/console/held").status_code == 404
    assert "/console" not in moderator.get("/mail/inbox").get_data(as_text=True)


def test_pages_of_held_mail_say_where_they_lead(web: Gateway, databases: Databases, monkeypatch):
    """The longest waiting comes first: the next page is newer."""
    monkeypatch.setattr(held, "PAGE", 1)
    firm = companies.found(databases, people=2)
    with databases.control() as control:
        audit_rules.add_rule(control, firm.organisation_id, "Contracts", Criteria(keyword="contract"))
    for number in range(2):
        body = {"to": [firm.people[1].address], "subject": f"contract {number}"}
        assert web.as_(firm.people[0]).post("/messages", json=body).status_code == 202
    admin = signed_in(web, firm.postmaster)
    first = admin.get("/console/held").get_data(as_text=True)
    assert "contract 0" in first
    following = re.search(r'<a class="button" rel="next" href="([^"]*)">Newer<', first)
    assert following
    last = admin.get(html.unescape(following[1])).get_data(as_text=True)
    assert "contract 1" in last
    assert "Longest waiting" in last
    for page in (first, last):
        assert "Older" not in page
        assert "Newest" not in page
