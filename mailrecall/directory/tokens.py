"""Tokens stand for a password in a program: each with what it may be used for, and until when."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import class_row

from mailrecall.directory import authentication, lookup
from mailrecall.directory.lookup import Account
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "tokens.sql")

MOST_TOKENS: Final = 100
"""Personal tokens that one account can have at a time."""
_USE_NOTED: Final = timedelta(minutes=5)
"""How often it is written down that a token was used."""


class Scope(StrEnum):
    """What a token lets its bearer do."""

    READ = "read"
    """See one's mail, recalls and settings. To open a message with it is a read (R2)."""
    SEND = "send"
    """Write, send, move and delete one's mail."""
    RECALL = "recall"
    """Ask for recalls."""
    ADMIN = "admin"
    """All that needs a role, and to change settings: without it an administrator's token is that of a plain user."""


class TooManyTokensError(Exception):
    """The account has as many personal tokens as it can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A personal token, as its owner sees it; the token itself is shown once, when it is made."""

    id: int
    name: str
    scopes: Sequence[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a token was issued to; `scopes` is None where it stands for all that the account may do."""

    account: Account
    scopes: frozenset[Scope] | None


def issue(
    connection: Connection[Any],
    account_id: int,
    name: str,
    scopes: Collection[Scope],
    *,
    lifetime: timedelta,
    now: datetime,
) -> tuple[str, Token]:
    """Return a new personal token, itself and as it is listed.

    Raises:
        TooManyTokensError: there are a hundred already.
    """
    # two requests at once must not both find room for one more
    connection.execute(_SQL["lock_account"], {"account_id": account_id})
    if len(of_account(connection, account_id, now=now)) >= MOST_TOKENS:
        raise TooManyTokensError
    secret = authentication.issue_token(connection, account_id, lifetime=lifetime, now=now)
    parameters = {
        "digest": authentication.digest(secret),
        "name": name,
        # in their own order, whatever order they were asked for
        "scopes": [scope.value for scope in Scope if scope in scopes],
    }
    with connection.cursor(row_factory=class_row(Token)) as cursor:
        token = cursor.execute(_SQL["make_personal"], parameters).fetchone()
    if token is None:
        raise AssertionError("the token that was just issued is not there")
    return secret, token


def of_account(connection: Connection[Any], account_id: int, *, now: datetime) -> list[Token]:
    """Return an account's personal tokens that have not expired, newest first."""
    with connection.cursor(row_factory=class_row(Token)) as cursor:
        return cursor.execute(_SQL["of_account"], {"account_id": account_id, "now": now}).fetchall()


def revoke(connection: Connection[Any], account_id: int, token_id: int) -> bool:
    """End one of an account's personal tokens; tell whether there was one."""
    return connection.execute(_SQL["revoke"], {"account_id": account_id, "token_id": token_id}).rowcount > 0


def bearer(connection: Connection[Any], secret: str, *, now: datetime) -> Bearer | None:
    """Return whom an unexpired token was issued to, unless the account was closed; notes that it was used."""
    row = connection.execute(_SQL["bearer"], {"digest": authentication.digest(secret), "now": now}).fetchone()
    if row is None:
        return None
    account_id, token_id, scopes, last_used_at = row
    account = lookup.account_by_id(connection, account_id)
    if account is None or account.closed:
        return None
    if scopes is None:
        return Bearer(account, None)
    if last_used_at is None or last_used_at < now - _USE_NOTED:
        connection.execute(_SQL["note_use"], {"token_id": token_id, "now": now})
    return Bearer(account, frozenset(Scope(scope) for scope in scopes))
