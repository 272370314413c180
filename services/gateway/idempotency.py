"""`Idempotency-Key`: a request that is sent again because its answer was lost is carried out once, and answered alike.

An answer is kept in the control database for a day, in the transaction that accepts what it answers for: so there is
never an accepted message whose key is not known, whenever a process dies. Failures are not kept: what was refused may
be tried again under the same key. (The header is that of draft-ietf-httpapi-idempotency-key-header.)
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from flask import request
from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import PoolTimeout

from mailrecall import clock
from mailrecall.postgres import queries
from services.gateway.current import account, process
from services.gateway.problems import Code, FieldError, Problem

HEADER: Final = "Idempotency-Key"
DESCRIBED: Final = {
    HEADER: "Up to 255 visible characters that name this request, such as a UUID. Sent again with the same key within "
    "a day, it is not carried out again, and answered as before."
}
PROBLEMS: Final = (Code.KEY_REUSED, Code.KEY_IN_USE)
LONGEST_KEY: Final = 255
KEPT_FOR: Final = timedelta(hours=24)
_ABANDONED: Final = timedelta(minutes=3)
"""After which whoever works on a request is gone: no process of the gateway is left to work on one for so long."""
_RETRY_AFTER: Final = "1"

_SQL = queries.load(__package__, "idempotency.sql")

Answer = tuple[dict[str, Any], int, dict[str, str]]
"""A document, its status and its headers."""
Keep = Callable[[Connection[Any], Answer], None]
"""Keeps an answer in the transaction that it answers for."""


class TakenOverError(Exception):
    """Somebody else works on the request by now: what this transaction has done must not be committed."""


@dataclass(frozen=True, slots=True)
class _Claim:
    account_id: int
    key: bytes
    attempt: UUID

    @property
    def parameters(self) -> dict[str, object]:
        return {"account_id": self.account_id, "key": self.key, "attempt": self.attempt}


def once(asked: object, carry_out: Callable[[Keep], Answer]) -> Answer:
    """Carry out a request, unless its key says that this was done before.

    Args:
        asked: what the request says, read: a dataclass of plain values.
        carry_out: does it, and calls `Keep` with its answer in the transaction that makes it true.

    Raises:
        Problem: the key is none, was used for another request, or somebody works on that request at this moment.
    """
    given = request.headers.get(HEADER)
    if given is None:
        return carry_out(_keep_nothing)
    claimed = _claim(_key(given), _digest(request.method, request.path, asked), now=clock.now())
    if not isinstance(claimed, _Claim):
        return claimed

    def keep(control: Connection[Any], answer: Answer) -> None:
        document, status, headers = answer
        kept = {**claimed.parameters, "status": status, "headers": Jsonb(headers), "body": Jsonb(document)}
        if not control.execute(_SQL["keep"], kept).rowcount:
            raise TakenOverError

    try:
        return carry_out(keep)
    except TakenOverError:
        raise _in_use() from None
    except Exception:
        # refused, or not carried out: what was kept by then stays kept, for the two are one transaction. Without a
        # database to say so, the next attempt waits until this one counts as abandoned.
        with suppress(psycopg.Error, PoolTimeout), process().databases.control() as control:
            control.execute(_SQL["release"], claimed.parameters)
        raise


def _claim(key: bytes, digest: bytes, *, now: datetime) -> _Claim | Answer:
    claim = _Claim(account().id, key, uuid4())
    parameters = {
        **claim.parameters,
        "request": digest,
        "now": now,
        "expired": now - KEPT_FOR,
        "abandoned": now - _ABANDONED,
    }
    with process().databases.control() as control:
        if control.execute(_SQL["claim"], parameters).fetchone():
            control.execute(_SQL["forget_expired"], parameters)
            return claim
        row = control.execute(_SQL["kept"], parameters).fetchone()
    if row is None:
        # released between the two statements
        raise _in_use()
    kept_request, status, headers, body = row
    if bytes(kept_request) != digest:
        detail = f"This {HEADER} was used for another request; every request has one of its own."
        raise Problem(Code.KEY_REUSED, detail)
    if status is None:
        raise _in_use()
    return body, status, {**headers, "Idempotency-Replayed": "true"}


def _in_use() -> Problem:
    detail = f"A request with this {HEADER} is being carried out; ask again for its answer."
    return Problem(Code.KEY_IN_USE, detail, headers={"Retry-After": _RETRY_AFTER})


def _keep_nothing(_control: Connection[Any], _answer: Answer) -> None:
    """There is no key to keep it under."""


def _key(given: str) -> bytes:
    if not 0 < len(given) <= LONGEST_KEY or not all("!" <= character <= "~" for character in given):
        detail = f"{HEADER} must be 1 to {LONGEST_KEY} visible characters of ASCII."
        raise Problem(Code.INVALID, detail, [FieldError("#", detail)])
    return hashlib.sha256(given.encode()).digest()


def _digest(*parts: object) -> bytes:
    digest = hashlib.sha256()
    _feed(digest.update, parts)
    return digest.digest()


def _feed(update: Callable[[bytes], None], value: object) -> None:
    """Put a value into a digest, so that no two different ones look alike."""
    if is_dataclass(value):
        _feed(update, [(field.name, getattr(value, field.name)) for field in fields(value)])
    elif isinstance(value, bytes):
        update(b"b%d:" % len(value))
        update(value)
    elif isinstance(value, Mapping):
        _feed(update, sorted(value.items()))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        update(b"l%d:" % len(value))
        for one in value:
            _feed(update, one)
    else:
        _feed(update, f"{type(value).__name__} {value}".encode("utf-8", "surrogatepass"))
