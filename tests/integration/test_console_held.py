"""R30: held mail in the console: what a moderator sees of it, and who is one."""

from dataclasses import dataclass

import pytest

from mailrecall.directory import audit_rules
from mailrecall.directory.lookup import Account
from mailrecall.domain.audit import Criteria
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company as companies
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, gateway

HTML = (
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
        "html": HTML,
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
        "html": HTML,
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
