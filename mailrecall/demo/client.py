"""The people of the demonstration at their mail: everything they do goes through the public HTTP API."""

import base64
import ssl
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

import httpx

from mailrecall.demo.errors import DemoError
from mailrecall.embedded.deadlines import poll

T = TypeVar("T")

# reading the certificates takes longer than most requests: once is enough
_TLS = ssl.create_default_context()


class Person:
    """Somebody with an account."""

    def __init__(self, gateway_url: str, address: str, password: str) -> None:
        """Prepare somebody who has yet to sign in."""
        self.address = address
        self._http = httpx.Client(base_url=f"{gateway_url}/api/v1", timeout=60.0, verify=_TLS)
        self._password = password

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def sign_in(self) -> None:
        """Get a token with the password and go on with that."""
        token = self.ask("POST", "/tokens", auth=(self.address, self._password)).json()["token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def send(self, to: list[str], *, cc: list[str], subject: str, text: str, attachment: tuple[str, bytes]) -> int:
        """Send a message with an attachment; returns the id of the Sent copy."""
        filename, content = attachment
        message = {
            "to": to,
            "cc": cc,
            "subject": subject,
            "text": text,
            "delay": 0,
            "attachments": [
                {
                    "filename": filename,
                    "content_type": "application/pdf",
                    "content": base64.b64encode(content).decode("ascii"),
                }
            ],
        }
        sent: int = self.ask("POST", "/messages", json=message).json()["id"]
        return sent

    def find(self, subject: str, folder: str = "inbox") -> int | None:
        """Return the newest message of that subject, looking at the list only: that is no read (R2)."""
        for message in self.ask("GET", f"/folders/{folder}/messages", params={"limit": 20}).json()["messages"]:
            if message["subject"] == subject:
                found: int = message["id"]
                return found
        return None

    def read(self, copy_id: int) -> dict[str, Any]:
        """Open a message."""
        opened: dict[str, Any] = self.ask("GET", f"/messages/{copy_id}").json()
        return opened

    def read_if_there(self, copy_id: int) -> dict[str, Any] | None:
        """Open a message that may not have arrived yet."""
        response = self.try_to("GET", f"/messages/{copy_id}")
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        opened: dict[str, Any] = _checked(response).json()
        return opened

    def source(self, copy_id: int) -> bytes:
        """Take a message as it came in."""
        return self.ask("GET", f"/messages/{copy_id}/source").content

    def download(self, copy_id: int) -> bytes:
        """Fetch a message's first attachment without opening the message."""
        return self.ask("GET", f"/messages/{copy_id}/attachments/0").content

    def forward(self, copy_id: int, to: str) -> None:
        """Pass a message on without opening it."""
        self.ask("POST", f"/messages/{copy_id}/forward", json={"to": [to], "comment": "For you."})

    def delete(self, copy_id: int) -> None:
        """Delete a message for good."""
        self.ask("DELETE", f"/messages/{copy_id}", params={"permanent": "true"})

    def recall(self, copy_id: int, reason: str) -> dict[str, Any]:
        """Ask for a message to be taken back."""
        recall: dict[str, Any] = self.ask("POST", "/recalls", json={"message_id": copy_id, "reason": reason}).json()
        return recall

    def progress(self, recall_id: str) -> Iterator[dict[str, Any]]:
        """Give a recall's state again and again, until it is settled."""
        while True:
            view: dict[str, Any] = self.ask("GET", f"/recalls/{recall_id}").json()
            yield view
            if view["state"] == "settled":
                return

    def ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Make a request and insist on its success."""
        return _checked(self.try_to(method, path, **arguments))

    def try_to(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Make a request, whatever the answer."""
        try:
            return self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise DemoError(f"{method} {path}: {error}") from error


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        request = response.request
        raise DemoError(f"{request.method} {request.url.path} answered {response.status_code}: {response.text[:300]}")
    return response


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float = 60.0) -> T:
    """Look until there is something to be seen.

    Raises:
        DemoError: there was nothing in time.
    """
    seen: list[T] = []

    def sees() -> bool:
        if (found := look()) is not None:
            seen.append(found)
        return bool(seen)

    if not poll(sees, timeout=seconds):
        raise DemoError(f"{what} did not happen within {seconds:.0f} seconds.")
    return seen[0]
