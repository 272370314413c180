"""Numbered scenarios of sending: passed on, held, taken back, and drafts, in the running house."""

from datetime import datetime

import httpx
import pytest

from mailrecall import clock
from mailrecall.demo.client import Person, wait_for
from tests import company
from tests.e2e.people import hand_over, receive, settled


def write(person: Person, to: str, subject: str, **fields: object) -> dict[str, object]:
    """Send a small message."""
    message = {"to": [to], "subject": subject, "text": "Good morning.", "delay": 0, **fields}
    sent: dict[str, object] = person.ask("POST", "/messages", json=message).json()
    return sent


@pytest.mark.rule(4)
def test_21_a_rule_passes_mail_on_to_an_account_and_to_the_outside(stack, webmail):
    firm = company.found(stack.databases, people=4)
    sender, inside, outside, target = firm.people
    webmail(inside).ask("PUT", "/account/forwarding", json={"address": target.address, "keep_copy": False})
    friend = f"friend-{firm.domain}@elsewhere.example"
    webmail(outside).ask("PUT", "/account/forwarding", json={"address": friend})
    author = webmail(sender)
    sent = author.ask(
        "POST",
        "/messages",
        json={"to": [inside.address, outside.address], "subject": "Onwards", "text": "Hello", "delay": 0},
    ).json()["id"]

    copy_id = receive(webmail(target), "Onwards")
    kept = receive(webmail(outside), "Onwards")
    relayed = wait_for(
        "The forward at the smarthost",
        lambda: next((e for e in stack.smarthost.envelopes if e.rcpt_tos == [friend]), None),
    )
    assert relayed.mail_from == outside.address
    assert f"Delivered-To: {outside.address}\r\n".encode() in relayed.content
    assert kept == sent - 1
    assert copy_id != sent - 1
    assert webmail(inside).find("Onwards") is None

    view = settled(author, author.recall(sent, "too late")["id"])

    assert view["outcomes"] == {"forwarded": 2}
    assert webmail(target).find("Onwards") == copy_id


@pytest.mark.rule(4)
def test_22_mail_from_outside_that_is_passed_on_in_a_circle_comes_to_rest(stack, webmail):
    firm = company.found(stack.databases, people=2)
    one, two = (webmail(person) for person in firm.people)
    one.ask("PUT", "/account/forwarding", json={"address": two.address, "keep_copy": False})
    two.ask("PUT", "/account/forwarding", json={"address": one.address, "keep_copy": False})

    hand_over(stack, "stranger@elsewhere.example", firm.people[0].address, subject="Round and round")

    source = one.source(receive(one, "Round and round"))
    assert source.count(b"Delivered-To: ") == 2
    assert two.find("Round and round") is None


@pytest.mark.rule(30)
def test_23_held_mail_is_released_rejected_or_recalled(stack, webmail):
    firm = company.found(stack.databases, people=2)
    author, recipient, moderator = webmail(firm.people[0]), webmail(firm.people[1]), webmail(firm.postmaster)
    moderator.ask("POST", "/audit-rules", json={"name": "Contracts", "keyword": "contract"})
    for subject in ("Contract A", "Contract B", "Contract C"):
        write(author, recipient.address, subject)
    write(author, recipient.address, "Lunch")
    receive(recipient, "Lunch")
    held = {message["subject"]: message["id"] for message in moderator.ask("GET", "/held").json()["messages"]}
    assert held.keys() == {"Contract A", "Contract B", "Contract C"}

    moderator.ask("POST", f"/held/{held['Contract A']}/release")
    moderator.ask("POST", f"/held/{held['Contract B']}/reject", json={"reason": "Ask the lawyers first."})
    recalled = author.recall(held["Contract C"] + 1, "changed my mind")

    assert receive(recipient, "Contract A") == held["Contract A"]
    notice = author.read(receive(author, "Your message was not released"))
    assert "Ask the lawyers first." in notice["text"]
    assert settled(author, recalled["id"])["outcomes"] == {"recalled": 1}
    late = moderator.try_to("POST", f"/held/{held['Contract C']}/release")
    assert (late.status_code, late.json()["code"]) == (httpx.codes.CONFLICT, "not_held")
    assert [recipient.find(f"Contract {letter}") for letter in "BC"] == [None, None]


@pytest.mark.rule(28)
def test_24_a_message_is_taken_back_corrected_and_sent(stack, webmail):
    firm = company.found(stack.databases, people=2)
    author, recipient = webmail(firm.people[0]), webmail(firm.people[1])
    sent = write(author, recipient.address, "Typpo", delay=60)
    assert author.find("Typpo", "drafts") == sent["id"]

    back = author.ask("DELETE", f"/messages/{sent['id']}/sending")
    corrected = {"to": [recipient.address], "subject": "Typo", "text": "Good morning."}
    saved = author.ask("PUT", f"/drafts/{sent['id']}", json=corrected, headers={"If-Match": back.headers["ETag"]})
    author.ask("POST", f"/drafts/{sent['id']}/send", json={"delay": 0}, headers={"If-Match": saved.headers["ETag"]})

    receive(recipient, "Typo")
    assert recipient.find("Typpo") is None
    assert wait_for("The Sent copy", lambda: author.find("Typo", "sent")) == sent["id"]
    assert author.find("Typo", "drafts") is None


@pytest.mark.rule(28)
def test_25_a_message_goes_out_by_itself_when_its_moment_comes(stack, webmail):
    firm = company.found(stack.databases, people=2)
    author, recipient = webmail(firm.people[0]), webmail(firm.people[1])
    sent = write(author, recipient.address, "In a moment", delay=2)

    receive(recipient, "In a moment")

    assert clock.now() >= datetime.fromisoformat(str(sent["sends_at"]))
    late = author.try_to("DELETE", f"/messages/{sent['id']}/sending")
    assert (late.status_code, late.json()["code"]) == (httpx.codes.CONFLICT, "already_sent")
    assert wait_for("The Sent copy", lambda: author.find("In a moment", "sent")) == sent["id"]
