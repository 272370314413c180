"""The people of the machine: what they do over HTTP, IMAP and POP3, and how each answer is to be taken."""

import imaplib
import poplib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

from mailrecall.demo.client import wait_for
from mailrecall.demo.errors import DemoError
from mailrecall.directory.lookup import Account
from tests import company
from tests.chaos.model import Answer
from tests.fault.scene import Scene

_LIMIT = 60.0
"""Seconds after which an answer counts as lost."""
_UNKNOWN = (httpx.HTTPError, OSError, EOFError, imaplib.IMAP4.error, poplib.error_proto)


class ViolationError(AssertionError):
    """The stack said or did what no rule allows."""


class Being:
    """One person; signs in once to the API, which costs a core and lasts, and with each session of a mail program."""

    def __init__(self, scene: Scene, account: Account) -> None:
        self.account = account
        self._scene = scene
        # plain HTTP: to read everybody's certificates would take most of a company's founding
        self._http = httpx.Client(base_url=f"{scene.session.gateway_url}/api/v1", timeout=_LIMIT, verify=False)

    def close(self) -> None:
        """Leave."""
        self._http.close()

    def ask(self, method: str, path: str, **arguments: Any) -> httpx.Response | None:
        """Make a request; None when the answer is lost, or says to come back later."""
        if "Authorization" not in self._http.headers and not self._sign_in():
            return None
        return self._ask(method, path, **arguments)

    def _sign_in(self) -> bool:
        """Get a token, if that is to be had now."""
        response = self._ask("POST", "/tokens", auth=(self.account.address, company.PASSWORD))
        if response is not None:
            self._http.headers["Authorization"] = f"Bearer {response.json()['token']}"
        return response is not None

    def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response | None:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.HTTPError:
            return None
        if response.status_code in (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS):
            return None
        if response.is_server_error:
            raise ViolationError(f"{method} {path} answered {response.status_code}")
        return response

    def insist(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Make a harmless request until it is answered."""
        try:
            return wait_for(f"an answer to {method} {path}", lambda: self.ask(method, path, **arguments), seconds=180)
        except DemoError as error:
            raise ViolationError(str(error)) from None

    def find(self, subject: str, folder: str = "inbox") -> dict[str, Any] | None:
        """Return a copy of that subject as the list of a folder has it, however long that takes."""
        return _of_subject(self.insist("GET", f"/folders/{folder}/messages", params={"limit": 100}), subject)

    def subjects(self) -> set[str]:
        """Return the subjects of everything in the inbox, however long that takes."""
        response = self.insist("GET", "/folders/inbox/messages", params={"limit": 100})
        return {message["subject"] for message in response.json()["messages"]}

    def look(self, subject: str) -> tuple[Answer, dict[str, Any] | None]:
        """Look for a copy of that subject in the list of the inbox; DONE with the copy, if there is one."""
        response = self.ask("GET", "/folders/inbox/messages", params={"limit": 100})
        if response is None:
            return Answer.UNKNOWN, None
        found = _of_subject(response, subject)
        return Answer.DONE if found else Answer.ABSENT, found

    def act(self, method: str, path: str, **arguments: Any) -> Answer:
        """Do something to a copy."""
        response = self.ask(method, path, **arguments)
        if response is None:
            return Answer.UNKNOWN
        if response.status_code == httpx.codes.NOT_FOUND:
            return Answer.ABSENT
        if response.is_success:
            return Answer.DONE
        raise ViolationError(f"{method} {path} answered {response.status_code}: {response.text[:200]}")

    def read_by_imap(self, subject: str) -> Answer:
        """Fetch a copy's text with a mail program; it has no copy of that subject: ABSENT."""
        return self._by_imap(subject, lambda client, uid: _text(client, uid, "BODY[TEXT]") is not None)

    def mark_seen_by_imap(self, subject: str) -> Answer:
        """Have a mail program mark a copy as read (R2)."""
        return self._by_imap(subject, lambda client, uid: _shows_seen(client.uid("STORE", uid, "+FLAGS", r"(\Seen)")))

    def copy_by_imap(self, subject: str) -> Answer:
        """Have a mail program copy a copy to the archive."""
        return self._by_imap(subject, lambda client, uid: client.uid("COPY", uid, "Archive")[0] == "OK")

    def _by_imap(self, subject: str, act: Callable[[imaplib.IMAP4, str], bool]) -> Answer:
        try:
            with imaplib.IMAP4(*self._scene.session.imap, timeout=_LIMIT) as client:
                client.login(self.account.address, company.PASSWORD)
                client.select("INBOX")
                _, (found, *_rest) = client.uid("SEARCH", "HEADER", "SUBJECT", f'"{subject}"')
                for uid in (found or b"").decode().split():
                    # a search finds parts of a subject too: a report names the message that it is about
                    if _text(client, uid, "BODY.PEEK[HEADER.FIELDS (SUBJECT)]") == f"Subject: {subject}".encode():
                        # withdrawn between the two commands: answered with nothing
                        return Answer.DONE if act(client, uid) else Answer.UNKNOWN
                return Answer.ABSENT
        except _UNKNOWN:
            return Answer.UNKNOWN

    def fetch_by_pop3(self, subject: str) -> Answer:
        """Take a copy over POP3, and leave it on the server."""
        client: poplib.POP3 | None = None
        try:
            client = poplib.POP3(*self._scene.session.pop3, timeout=_LIMIT)
            client.user(self.account.address)
            client.pass_(company.PASSWORD)
            for number in range(client.stat()[0], 0, -1):
                _, lines, _ = client.top(number, 0)
                if f"Subject: {subject}".encode() in lines:
                    client.retr(number)
                    return Answer.DONE
        except _UNKNOWN:
            return Answer.UNKNOWN
        else:
            return Answer.ABSENT
        finally:
            if client is not None:
                with suppress(*_UNKNOWN):
                    client.quit()
                client.close()


def _of_subject(response: httpx.Response, subject: str) -> dict[str, Any] | None:
    return next((message for message in response.json()["messages"] if message["subject"] == subject), None)


def _shows_seen(answer: tuple[str, list[Any]]) -> bool:
    status, data = answer
    # what was withdrawn between the two commands is answered with the flags that it had
    return status == "OK" and any(line is not None and rb"\Seen" in line for line in data)


def _text(client: imaplib.IMAP4, uid: str, attribute: str) -> bytes | None:
    status, data = client.uid("FETCH", uid, f"({attribute})")
    if status != "OK":
        raise imaplib.IMAP4.error(f"FETCH answered {status}")
    return next((part[1].strip() for part in data if isinstance(part, tuple)), None)
