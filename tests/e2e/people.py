"""People of a test's company at their mail programs: webmail over HTTP, SMTP submission, LMTP from other hosts."""

import smtplib
from contextlib import ExitStack
from email.message import EmailMessage
from typing import Any

from mailrecall.demo.client import Person, wait_for
from mailrecall.directory.lookup import Account
from tests import company
from tests.stack import Stack

PDF = ("figures.pdf", b"%PDF-1.4 figures \x00\xff")


class Webmail:
    """Where people sign in; it signs all of them out in the end."""

    def __init__(self, stack: Stack, until: ExitStack) -> None:
        self._stack = stack
        self._until = until

    def __call__(self, who: Account) -> Person:
        """Sign somebody in at the gateway."""
        person = self._until.enter_context(Person(self._stack.gateway_url, who.address, company.PASSWORD))
        person.sign_in()
        return person


def receive(person: Person, subject: str) -> int:
    """Wait for a message in the inbox's list."""
    return wait_for(f"{subject!r} in an inbox", lambda: person.find(subject))


def settled(person: Person, recall_id: str) -> dict[str, Any]:
    """Wait until a recall is settled and its report lies in the requester's inbox."""
    wait_for("The settlement", lambda: _settled(person, recall_id))
    return wait_for("The report", lambda: _reported(person, recall_id))


def _settled(person: Person, recall_id: str) -> dict[str, Any] | None:
    view: dict[str, Any] = person.ask("GET", f"/recalls/{recall_id}").json()
    return view if view["state"] == "settled" else None


def _reported(person: Person, recall_id: str) -> dict[str, Any] | None:
    view = _settled(person, recall_id)
    return view if view and view["report"] and _there(person, view["report"]) else None


def _there(person: Person, link: str) -> bool:
    subjects = person.ask("GET", "/folders/inbox/messages", params={"limit": 50}).json()["messages"]
    return any(message["link"] == link for message in subjects)


def letter(sender: str, recipient: str, subject: str) -> EmailMessage:
    """Write a small message as a mail program does."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipient, subject
    message.set_content("Good morning.\n")
    return message


def submit(stack: Stack, sender: Account, *recipients: str, subject: str) -> None:
    """Send by SMTP submission."""
    with smtplib.SMTP(*stack.smtp) as client:
        client.login(sender.address, company.PASSWORD)
        client.send_message(letter(sender.address, recipients[0], subject), sender.address, list(recipients))


def hand_over(stack: Stack, sender: str, *recipients: str, subject: str) -> dict[str, tuple[int, bytes]]:
    """Deliver by LMTP, as the host that takes in the world's mail does; returns who was refused."""
    with smtplib.LMTP(*stack.lmtp) as client:
        return client.send_message(letter(sender, recipients[0], subject), sender, list(recipients))
