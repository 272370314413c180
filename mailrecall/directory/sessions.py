"""People signed in to the pages: their sessions, and what they have chosen for the pages."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg import Connection
from psycopg.types.json import Jsonb

from mailrecall.directory import lookup
from mailrecall.directory.lookup import Account, Language
from mailrecall.postgres import queries

MOST_NOTICES = 20
"""Notices that wait for a session's next page; of more, the oldest are forgotten."""

_SQL = queries.load(__package__, "sessions.sql", {"most_notices": str(MOST_NOTICES)})

NoticeKind = Literal["done", "warning", "error"]

_PROLONG_AFTER = timedelta(minutes=1)
"""A session in use is written to this often at most."""


@dataclass(frozen=True, slots=True)
class Life:
    """How long sessions last."""

    idle: timedelta
    """Without a request."""
    longest: timedelta
    """In any case."""

    def until(self, created_at: datetime, now: datetime) -> datetime:
        """Return when a session ends that is used now."""
        return min(created_at + self.longest, now + self.idle)


@dataclass(frozen=True, slots=True)
class Notice:
    """What the next page tells its reader, in the reader's language."""

    kind: NoticeKind
    text: str


@dataclass(frozen=True, slots=True)
class Session:
    """A session of somebody who is signed in."""

    secret: str
    account: Account
    notices: Sequence[Notice]
    language: Language | None
    """As chosen; None: as the browser says."""
    time_zone: str | None
    """As chosen, an IANA name; None: as the browser says."""
    moderator: bool
    """R30: whether they decide on held mail; administrators do."""


def begin(connection: Connection[Any], account_id: int, life: Life, *, now: datetime) -> str:
    """Begin a session; return its secret, of which only the digest is stored."""
    secret = secrets.token_urlsafe(32)
    connection.execute(_SQL["forget_expired"], {"account_id": account_id, "now": now})
    connection.execute(
        _SQL["begin"],
        {"digest": _digest(secret), "account_id": account_id, "now": now, "expires_at": life.until(now, now)},
    )
    return secret


def find(
    connection: Connection[Any], secret: str, life: Life, *, now: datetime, prolong: bool = True
) -> Session | None:
    """Return the session of that secret; None when it has ended or its account was closed.

    Args:
        connection: to the control database.
        secret: the session's.
        life: how long sessions last.
        now: the present moment.
        prolong: whether this use keeps the session alive.
    """
    digest = _digest(secret)
    row = connection.execute(_SQL["find"], {"digest": digest, "now": now}).fetchone()
    if row is None:
        return None
    account_id, created_at, seen_at, notices, language, time_zone, moderator = row
    if prolong and now - seen_at > _PROLONG_AFTER:
        expires_at = life.until(created_at, now)
        connection.execute(_SQL["prolong"], {"digest": digest, "now": now, "expires_at": expires_at})
    account = lookup.account_by_id(connection, account_id)
    if account is None:
        return None
    told = [Notice(**notice) for notice in notices]
    return Session(secret, account, told, language, time_zone, account.administrator or moderator)


def end(connection: Connection[Any], secret: str) -> None:
    """End a session; one that has ended stays so."""
    connection.execute(_SQL["end"], {"digest": _digest(secret)})


def end_all(connection: Connection[Any], account_id: int) -> int:
    """End every session of an account; return how many there were."""
    return connection.execute(_SQL["end_all"], {"account_id": account_id}).rowcount


def add_notice(connection: Connection[Any], secret: str, notice: Notice) -> None:
    """Have the session's next page tell something."""
    written = Jsonb([{"kind": notice.kind, "text": notice.text}])
    connection.execute(_SQL["add_notice"], {"digest": _digest(secret), "notice": written})


def clear_notices(connection: Connection[Any], secret: str) -> None:
    """Forget what was told."""
    connection.execute(_SQL["clear_notices"], {"digest": _digest(secret)})


def choose_language(connection: Connection[Any], account_id: int, language: Language) -> None:
    """Have the pages, and the reports (R18), speak a language."""
    connection.execute(_SQL["choose_language"], {"account_id": account_id, "language": language})


def choose_time_zone(connection: Connection[Any], account_id: int, time_zone: str | None) -> None:
    """Have the pages show the time of a zone; None: of the browser's."""
    connection.execute(_SQL["choose_time_zone"], {"account_id": account_id, "time_zone": time_zone})


def _digest(secret: str) -> bytes:
    # 256 random bits need no slow hash: there is nothing to guess
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
