"""Sign-ins at an OpenID provider, from the moment somebody is sent there until they come back."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import Connection

from mailrecall.directory import lookup
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address, AddressError
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "provider_sign_ins.sql")

PATIENCE: Final = timedelta(minutes=10)
"""How long somebody may take at the provider."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What goes with somebody to the provider, and what their browser keeps; of both only digests are stored."""

    state: str
    browser: str
    """The browser's cookie: nobody else's browser can finish this sign-in."""
    nonce: str
    verifier: str
    """RFC 7636: the code is of no use without it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A sign-in that has come back."""

    nonce: str
    verifier: str
    target: str | None
    """Where to go on to on this site."""


def begin(connection: Connection[Any], target: str | None, *, now: datetime) -> Begun:
    """Begin a sign-in; those that nobody finished in time go now."""
    begun = Begun(*(secrets.token_urlsafe(32) for _ in range(4)))
    connection.execute(_SQL["forget_expired"], {"now": now})
    parameters = {
        "state": _digest(begun.state),
        "browser": _digest(begun.browser),
        "nonce": begun.nonce,
        "verifier": begun.verifier,
        "target": target,
        "expires_at": now + PATIENCE,
    }
    connection.execute(_SQL["begin"], parameters)
    return begun


def take(connection: Connection[Any], state: str, browser: str, *, now: datetime) -> Taken | None:
    """Return the sign-in of that state and browser, which is over with that; None: there is none, or not any more."""
    parameters = {"state": _digest(state), "browser": _digest(browser), "now": now}
    row = connection.execute(_SQL["take"], parameters).fetchone()
    return Taken(*row) if row else None


def account_of(connection: Connection[Any], verified_address: str) -> Account | None:
    """Return the open account that an address was given out to, its own or an alias."""
    try:
        address = str(Address.parse(verified_address))
    except AddressError:
        return None
    row = connection.execute(_SQL["account_of"], {"address": address}).fetchone()
    return lookup.account_by_id(connection, row[0]) if row else None


def _digest(secret: str) -> bytes:
    # 256 random bits need no slow hash: there is nothing to guess
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
