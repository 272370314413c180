"""Who may ask: HTTP Basic with address and password (RFC 7617), or a bearer token (RFC 6750)."""

from typing import Any

import structlog
from flask import request
from psycopg import Connection
from werkzeug.datastructures import Authorization

from mailrecall import clock
from mailrecall.directory import authentication
from services.gateway.current import Caller, process, set_caller
from services.gateway.problems import Code, Problem

_BASIC = 'Basic realm="Mail Recall", charset="UTF-8"'
_BEARER = 'Bearer realm="Mail Recall"'


def require() -> None:
    """Let nobody through but a known account, by either scheme.

    Raises:
        Problem: 401, saying which schemes there are.
    """
    _require(f"{_BEARER}, {_BASIC}", basic=True, bearer=True)


def require_password() -> None:
    """As `require`, but a token is not enough: a token must not give birth to another one.

    Raises:
        Problem: 401.
    """
    _require(_BASIC, basic=True, bearer=False)


def require_token() -> None:
    """As `require`, but only by token.

    Raises:
        Problem: 401.
    """
    _require(_BEARER, basic=False, bearer=True)


def _require(challenge: str, *, basic: bool, bearer: bool) -> None:
    given = request.authorization
    allowed = {"basic": basic, "bearer": bearer}
    if given is None or not allowed.get(given.type, False):
        raise Problem(Code.NOT_AUTHENTICATED, _invitation(basic=basic, bearer=bearer), headers=_ask(challenge))
    with process().databases.control() as connection:
        caller = _by_password(connection, given) if given.type == "basic" else _by_token(connection, given)
    if caller is None or caller.account.closed:
        wrong = "wrong address or password" if given.type == "basic" else "the token is unknown or has expired"
        raise Problem(Code.NOT_AUTHENTICATED, f"That did not work: {wrong}.", headers=_ask(challenge))
    set_caller(caller)
    structlog.contextvars.bind_contextvars(account_id=caller.account.id)


def _by_password(connection: Connection[Any], given: Authorization) -> Caller | None:
    account = authentication.authenticate(connection, given.username or "", given.password or "")
    return Caller(account, None) if account else None


def _by_token(connection: Connection[Any], given: Authorization) -> Caller | None:
    if not given.token:
        return None
    account = authentication.account_of_token(connection, given.token, now=clock.now())
    return Caller(account, given.token) if account else None


def _invitation(*, basic: bool, bearer: bool) -> str:
    ways = ["address and password (HTTP Basic)"] * basic + ["a token (Bearer)"] * bearer
    return f"This needs {' or '.join(ways)}."


def _ask(challenge: str) -> dict[str, str]:
    return {"WWW-Authenticate": challenge}
