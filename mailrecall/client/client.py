"""The client itself: requests, what is done about answers that do not come, and live progress."""

import json
from collections.abc import Iterator, Mapping, Sequence
from time import sleep
from typing import Any, Final, Self
from uuid import uuid4

import httpx

from mailrecall.client.errors import ClientError, ProblemError, UnreachableError
from mailrecall.client.models import Preview, Recall, RecallSummary, Token

_ATTEMPTS: Final = 4
_LONGEST_PAUSE: Final = 10.0
_POLL: Final = 2.0
"""Seconds between two looks where no live view can be had."""
_SILENCE: Final = 30.0
"""Seconds after which a live view that says nothing is taken for dead; the gateway says something every ten."""
_AGAIN: Final = {
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.SERVICE_UNAVAILABLE,
    # of a proxy in front, while the gateway behind it starts again
    httpx.codes.BAD_GATEWAY,
    httpx.codes.GATEWAY_TIMEOUT,
}


class Client:
    """Somebody who is signed in with a token.

    Requests that get no answer, 429, 502, 503 or 504 are sent again a few times, after what `Retry-After` says: reading
    changes nothing, and asking for a recall bears an `Idempotency-Key`, so that it happens once.
    """

    def __init__(
        self, url: str, token: str, *, timeout: float = 30.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        """Prepare to talk to a gateway.

        Args:
            url: where it is, such as https://mail.example.org.
            token: a personal token or that of a sign-in.
            timeout: seconds to wait for an answer.
            transport: how requests are carried, where that is not the network.
        """
        self._http = httpx.Client(
            base_url=_base(url), headers={"Authorization": f"Bearer {token}"}, timeout=timeout, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def preview(self, message_id: int) -> Preview:
        """R25: return what a recall of a message would come to; nothing changes.

        Raises:
            ClientError: as all methods do.
        """
        return Preview.of(self._ask("GET", f"messages/{message_id}/recall-preview"))

    def recall(self, message_id: int, reason: str) -> Recall:
        """R11, R12: ask for a message to be recalled; asking again gives the recall there is."""
        document = self._ask("POST", "recalls", {"message_id": message_id, "reason": reason}, once=True)
        if "state" not in document:
            raise ClientError("An administrator has recalled this message already.")
        return Recall.of(document)

    def show(self, recall_id: str) -> Recall:
        """Return how far a recall has got."""
        return Recall.of(self._ask("GET", f"recalls/{recall_id}"))

    def recalls(self) -> Iterator[RecallSummary]:
        """Give one's own recalls, newest first; further pages are fetched as they are needed."""
        parameters: dict[str, Any] = {"limit": 100}
        while True:
            page = self._ask("GET", "recalls", parameters=parameters)
            yield from (RecallSummary.of(recall) for recall in page["recalls"])
            if page["next_cursor"] is None:
                return
            parameters["cursor"] = page["next_cursor"]

    def watch(self, recall_id: str) -> Iterator[Recall]:
        """R22: give a recall whenever something of it changes, until it has settled.

        Live where the gateway has room for one more, and by looking every two seconds where it has not.
        """
        last, failures = "", 0
        while failures < _ATTEMPTS:
            try:
                for event in self._live(recall_id, last):
                    last, failures = event["id"], 0
                    yield Recall.of(json.loads(event["data"]))
                    if event["event"] == "settled":
                        return
            except ProblemError as problem:
                if problem.status != httpx.codes.SERVICE_UNAVAILABLE:
                    raise
                yield from self._polled(recall_id)
                return
            except (httpx.TransportError, UnreachableError):
                # no answer, or a page of a proxy in front; what is not there for good, the last look below tells
                failures += 1
                sleep(min(failures, _LONGEST_PAUSE))
        yield from self._polled(recall_id)

    def tokens(self) -> list[Token]:
        """Return one's personal tokens."""
        return [Token.of(token) for token in self._ask("GET", "tokens")["tokens"]]

    def revoke_token(self, token_id: int) -> None:
        """End one of them."""
        self._ask("DELETE", f"tokens/{token_id}")

    @staticmethod
    def create_token(
        url: str,
        address: str,
        password: str,
        name: str,
        scopes: Sequence[str],
        *,
        lifetime: int | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> Token:
        """Return a new personal token for address and password; `lifetime` is in seconds."""
        wanted: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if lifetime is not None:
            wanted["lifetime"] = lifetime
        with httpx.Client(base_url=_base(url), auth=(address, password), transport=transport) as http:
            try:
                return Token.of(_checked(http.post("tokens", json=wanted)))
            except httpx.TransportError as error:
                raise _unreachable(error) from None

    def _live(self, recall_id: str, last: str) -> Iterator[dict[str, str]]:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        timeout = httpx.Timeout(self._http.timeout.connect, read=_SILENCE)
        with self._http.stream("GET", f"recalls/{recall_id}/events", headers=headers, timeout=timeout) as answer:
            if answer.status_code != httpx.codes.OK:
                answer.read()
                _checked(answer)
                return
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                elif "data" in fields:
                    yield {"id": "", "event": "message", **fields}
                    fields = {}

    def _polled(self, recall_id: str) -> Iterator[Recall]:
        known: Recall | None = None
        while known is None or not known.settled:
            if known is not None:
                sleep(_POLL)
            if (seen := self.show(recall_id)) != known:
                yield seen
            known = seen

    def _ask(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        once: bool = False,
    ) -> dict[str, Any]:
        headers = {"Idempotency-Key": str(uuid4())} if once else {}
        may_repeat = once or method == "GET"
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = self._http.request(method, path, json=document, params=parameters, headers=headers)
            except httpx.TransportError as error:
                if not may_repeat or attempt == _ATTEMPTS:
                    raise _unreachable(error) from None
                sleep(min(float(attempt), _LONGEST_PAUSE))
                continue
            wait = _pause(answer)
            if wait is None or not may_repeat or attempt == _ATTEMPTS or wait > _LONGEST_PAUSE:
                return _checked(answer)
            sleep(wait)
        raise AssertionError("the last attempt returns or raises")


def _base(url: str) -> str:
    return f"{url.rstrip('/')}/api/v1/"


def _pause(answer: httpx.Response) -> float | None:
    """Return after how many seconds to send a request again; None where there is no point in it."""
    in_use = answer.status_code == httpx.codes.CONFLICT and "Retry-After" in answer.headers
    if answer.status_code not in _AGAIN and not in_use:
        return None
    given = answer.headers.get("Retry-After", "")
    return float(given) if given.isdecimal() else 1.0


def _checked(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code == httpx.codes.NO_CONTENT:
        return {}
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UnreachableError(f"What answers there ({answer.status_code}) is no gateway of Mail Recall.")
    if answer.is_error:
        raise ProblemError(document)
    return document


def _unreachable(error: httpx.TransportError) -> UnreachableError:
    return UnreachableError(f"The gateway does not answer ({str(error) or type(error).__name__}).")
