"""Who is at the other end: passwords and tokens."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import Connection

from mailrecall.directory import lookup, passwords
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address, AddressError
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "authentication.sql")

TOKEN_PREFIX: Final = "mr_"  # noqa: S105 - so that tools that look for leaked secrets know one of ours


def authenticate(connection: Connection[Any], address_text: str, password: str) -> Account | None:
    """Return the open account that the address (its own or an alias) and the password belong to.

    An unknown address, a closed account and one without a password take as long as a wrong password.
    """
    account_id: int | None = None
    password_hash: str | None = None
    try:
        address = str(Address.parse(address_text))
    except AddressError:
        pass
    else:
        row = connection.execute(lookup.SQL["password_of"], {"address": address}).fetchone()
        account_id, password_hash = row or (None, None)
    if not passwords.verify(password_hash, password) or account_id is None:
        return None
    return lookup.account_by_id(connection, account_id)


def issue_token(connection: Connection[Any], account_id: int, *, lifetime: timedelta, now: datetime) -> str:
    """Return a new token that does all its account may; only its digest is stored. Expired ones go now."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    connection.execute(_SQL["forget_expired"], {"account_id": account_id, "now": now})
    connection.execute(
        _SQL["insert_token"],
        {"digest": digest(token), "account_id": account_id, "now": now, "expires_at": now + lifetime},
    )
    return token


def account_of_token(connection: Connection[Any], token: str, *, now: datetime) -> Account | None:
    """Return the open account that somebody signed in to with an unexpired token; personal tokens are no sign-ins."""
    row = connection.execute(lookup.SQL["account_by_token"], {"digest": digest(token), "now": now}).fetchone()
    return Account(*row) if row else None


def revoke_token(connection: Connection[Any], token: str) -> bool:
    """End a token; tell whether there was one."""
    return connection.execute(_SQL["revoke_token"], {"digest": digest(token)}).rowcount > 0


def revoke_all_tokens(connection: Connection[Any], account_id: int) -> int:
    """End every token of an account; return how many there were."""
    return connection.execute(_SQL["revoke_all"], {"account_id": account_id}).rowcount


def digest(token: str) -> bytes:
    """Return what is stored of a token."""
    # 256 random bits need no slow hash: there is nothing to guess
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
