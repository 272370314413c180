"""Submission, LMTP and webmail, as one port: who gets a message, and who was refused."""

import smtplib
from contextlib import ExitStack
from typing import Protocol

import httpx

from mailrecall.demo.client import Person
from mailrecall.directory.lookup import Account
from tests import company
from tests.e2e.people import letter
from tests.stack import Stack


class WayIn(Protocol):
    """A way for a message to come in."""

    def __init__(self, stack: Stack, until: ExitStack) -> None: ...

    def send(self, sender: Account, recipients: list[str], subject: str, *, text: str = "Hello") -> set[str]:
        """Send a message; return those refused. All are refused when the message is."""
        ...


class Submission:
    """A mail program, signed in."""

    def __init__(self, stack: Stack, until: ExitStack) -> None:
        self._stack = stack
        self._until = until

    def send(self, sender: Account, recipients: list[str], subject: str, *, text: str = "Hello") -> set[str]:
        client = self._until.enter_context(smtplib.SMTP(*self._stack.smtp))
        client.login(sender.address, company.PASSWORD)
        return _by_smtp(client, sender.address, recipients, subject, text)


class Lmtp:
    """The host that takes in the world's mail."""

    def __init__(self, stack: Stack, until: ExitStack) -> None:
        self._stack = stack
        self._until = until

    def send(self, sender: Account, recipients: list[str], subject: str, *, text: str = "Hello") -> set[str]:
        client = self._until.enter_context(smtplib.LMTP(*self._stack.lmtp))
        refused = _by_smtp(client, sender.address, recipients, subject, text)
        # one reply for each accepted recipient (RFC 2033 section 4.2); smtplib reads the first and leaves the others
        for _ in set(recipients) - refused - {recipients[0]}:
            assert client.getreply()[0] == 250
        return refused


class Webmail:
    """A browser or a program at the HTTP API, which takes all recipients or none."""

    def __init__(self, stack: Stack, until: ExitStack) -> None:
        self._stack = stack
        self._until = until

    def send(self, sender: Account, recipients: list[str], subject: str, *, text: str = "Hello") -> set[str]:
        person = self._until.enter_context(Person(self._stack.gateway_url, sender.address, company.PASSWORD))
        person.sign_in()
        answer = person.try_to(
            "POST", "/messages", json={"to": recipients, "subject": subject, "text": text, "delay": 0}
        )
        if answer.status_code == httpx.codes.ACCEPTED:
            return set()
        assert answer.is_client_error, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        return set(recipients)


def _by_smtp(client: smtplib.SMTP, sender: str, recipients: list[str], subject: str, text: str) -> set[str]:
    message = letter(sender, recipients[0], subject)
    message.set_content(text)
    try:
        return set(client.send_message(message, sender, recipients))
    except smtplib.SMTPRecipientsRefused as error:
        return set(error.recipients)
    except smtplib.SMTPResponseException:
        return set(recipients)


WAYS_IN: tuple[type[WayIn], ...] = (Submission, Lmtp, Webmail)
