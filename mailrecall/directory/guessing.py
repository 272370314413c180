"""Passwords are not to be guessed: whoever gives many wrong ones has to wait, whichever protocol they come by.

Wrong passwords are counted for a quarter of an hour by address and origin, by origin, and by address. A wait says
nothing of whether the address exists. It is the password that has to wait: tokens issued before go on working.
"""

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import Connection

from mailrecall.directory.authentication import authenticate
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address, AddressError
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases

_SQL = queries.load(__package__, "guessing.sql")

WINDOW: Final = timedelta(minutes=15)
"""For how long a wrong password counts, from the first one on, and how long the wait is at most."""
FROM_MANY: Final = 10
"""How many times as many an origin has for all addresses together, and an address from all origins together."""

_SUBSCRIBER: Final = 64
"""Bits of an IPv6 address that its owner cannot change at will (RFC 6177)."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """No password is looked at before so many seconds have passed."""

    retry_after: int


def sign_in(
    databases: Databases, address: str, password: str, *, origin: str, limit: int, now: datetime
) -> Account | Throttled | None:
    """Return the open account that address and password belong to; None if they belong to none.

    Args:
        databases: of the process.
        address: as it was given.
        password: as it was given.
        origin: the network address that it came from; empty where that is not known.
        limit: wrong passwords that one origin may give for one address.
        now: the moment.
    """
    keys = _keys(address, origin, limit)
    with databases.control() as control:
        if wait := _wait(control, keys, now):
            return Throttled(wait)
        account = authenticate(control, address, password)
        if account:
            # only this pair: an account of one's own must not buy guesses at others
            control.execute(_SQL["forget"], {"key": next(iter(keys))})
            return account
    # a transaction of its own, since whoever is refused rolls back theirs
    with databases.control() as control:
        # always in one order, so that two that count the same never wait for each other
        for key in sorted(keys):
            control.execute(_SQL["count"], {"key": key, "now": now, "expired": now - WINDOW})
        control.execute(_SQL["forget_expired"], {"expired": now - WINDOW})
    return None


def _wait(control: Connection[Any], keys: Mapping[bytes, int], now: datetime) -> int:
    parameters = {"keys": list(keys), "expired": now - WINDOW}
    found = control.execute(_SQL["counted"], parameters).fetchall()
    over = [since + WINDOW - now for key, failures, since in found if failures >= keys[bytes(key)]]
    return max((int(left.total_seconds()) + 1 for left in over), default=0)


def _keys(address: str, origin: str, limit: int) -> dict[bytes, int]:
    """Return what is counted, the pair first, with what each may come to."""
    try:
        known = str(Address.parse(address))
    except AddressError:
        # guesses at what is no address need no count of their own
        known = ""
    origin = place_of(origin)
    keys = {_digest("pair", known, origin): limit}
    if origin:
        keys[_digest("origin", origin)] = limit * FROM_MANY
    if known:
        keys[_digest("address", known)] = limit * FROM_MANY
    return keys


def place_of(origin: str) -> str:
    """Return what is one origin: an IPv4 address however it is written, or the network that one IPv6 subscriber has."""
    try:
        address = ipaddress.ip_address(origin.partition("%")[0])
    except ValueError:
        return origin
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _SUBSCRIBER), strict=False))


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
