"""Who may ask: HTTP Basic with address and password (RFC 7617), or a bearer token (RFC 6750)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import BoundedSemaphore
from typing import Final

import structlog
from flask import current_app, request
from werkzeug.datastructures import Authorization

from mailrecall import clock, logs
from mailrecall.directory import guessing, tokens
from mailrecall.directory.guessing import Throttled
from mailrecall.directory.lookup import Account
from mailrecall.directory.tokens import Scope
from services.gateway import limiting
from services.gateway.current import Caller, process, set_caller
from services.gateway.describing import Description, SignIn, description_of
from services.gateway.problems import Code, Problem

log = logs.get(__name__)

_BASIC = 'Basic realm="Mail Recall", charset="UTF-8"'
_BEARER = 'Bearer realm="Mail Recall"'
_LOGINS_AT_ONCE: Final = 2
"""Passwords that one process checks at a time, as every protocol does."""
_PATIENCE: Final = 5.0
"""Seconds that a password waits for its turn."""
_RETRY_AFTER: Final = "5"
# a password check costs a core and much memory on purpose; guessing must not leave none for the mail
_signing_in = BoundedSemaphore(_LOGINS_AT_ONCE)
_CHANGES_NOTHING = {"GET", "HEAD", "OPTIONS"}


def require() -> None:
    """Let nobody through but a known account, by the schemes that the route takes; by either, if it says nothing.

    Raises:
        Problem: 401, saying which schemes there are; 403 if the token is for other things; 429 after too many guesses
            or requests; 503 while too many passwords wait.
    """
    described = description_of(current_app.view_functions.get(request.endpoint or ""))
    sign_in = described.sign_in if described else SignIn.ANY
    if sign_in is SignIn.NOBODY:
        limiting.count_origin()
        return
    try:
        caller = _caller(sign_in)
    except Problem:
        # whoever shows nothing valid is nobody, and may not try for ever
        limiting.count_origin()
        raise
    set_caller(caller)
    # before the request is counted: the line that says that there were too many names the account
    structlog.contextvars.bind_contextvars(account_id=caller.account.id)
    limiting.count_account()
    needed = scope_needed(described, request.method)
    if needed and caller.scopes is not None and needed not in caller.scopes:
        # RFC 6750 section 3.1
        challenge = f'{_BEARER}, error="insufficient_scope", scope="{needed}"'
        detail = f"This needs a token with the scope {needed}."
        raise Problem(Code.INSUFFICIENT_SCOPE, detail, headers=_ask(challenge), extra={"scope": needed.value})


def _caller(sign_in: SignIn) -> Caller:
    match sign_in:
        case SignIn.PASSWORD:
            return _require(_BASIC, basic=True, bearer=False)
        case SignIn.TOKEN:
            return _require(_BEARER, basic=False, bearer=True)
        case _:
            return _require(f"{_BEARER}, {_BASIC}", basic=True, bearer=True)


def scope_needed(described: Description | None, method: str) -> Scope | None:
    """Return what a token needs for a route: what it declares, else `read` to look and `admin` for all the rest."""
    if described and described.scope:
        return described.scope
    if described and described.sign_in is SignIn.TOKEN:
        # about the token itself
        return None
    return Scope.READ if method in _CHANGES_NOTHING else Scope.ADMIN


def _require(challenge: str, *, basic: bool, bearer: bool) -> Caller:
    given = _credentials()
    allowed = {"basic": basic, "bearer": bearer}
    if given is None or not allowed.get(given.type, False):
        raise Problem(Code.NOT_AUTHENTICATED, _invitation(basic=basic, bearer=bearer), headers=_ask(challenge))
    caller = _by_password(given) if given.type == "basic" else _by_token(given)
    if caller is None:
        wrong = "wrong address or password" if given.type == "basic" else "the token is unknown or has expired"
        raise Problem(Code.NOT_AUTHENTICATED, f"That did not work: {wrong}.", headers=_ask(challenge))
    return caller


def _credentials() -> Authorization | None:
    try:
        return request.authorization
    except ValueError:  # characters outside ASCII where base64 should be, which Werkzeug lets through to the decoder
        return None


def _by_password(given: Authorization) -> Caller | None:
    account = account_of_password(given.username or "", given.password or "")
    return Caller(account, None) if account else None


def account_of_password(address: str, password: str) -> Account | None:
    """Return the open account that address and password belong to.

    Raises:
        Problem: 429, if too many were wrong before; 503, if too many wait to be checked.
    """
    with _turn():
        found = guessing.sign_in(
            process().databases,
            address,
            password,
            origin=request.remote_addr or "",
            limit=process().settings.password_guesses,
            now=clock.now(),
        )
    if isinstance(found, Throttled):
        log.warning("gateway.guesses_throttled")
        raise Problem(
            Code.TOO_MANY_GUESSES,
            "Too many passwords were wrong, for this account or from where you are. Wait, or use a token.",
            headers={"Retry-After": str(found.retry_after)},
        )
    return found


@contextmanager
def _turn() -> Iterator[None]:
    if not _signing_in.acquire(timeout=_PATIENCE):
        log.warning("gateway.sign_ins_crowded")
        raise Problem(
            Code.UNAVAILABLE,
            f"Too many passwords wait to be checked; try again in {_RETRY_AFTER} seconds, or use a token.",
            headers={"Retry-After": _RETRY_AFTER},
        )
    try:
        yield
    finally:
        _signing_in.release()


def _by_token(given: Authorization) -> Caller | None:
    if not given.token:
        return None
    with process().databases.control() as control:
        bearer = tokens.bearer(control, given.token, now=clock.now())
    if bearer is None:
        return None
    powerless = bearer.scopes is not None and Scope.ADMIN not in bearer.scopes
    account = replace(bearer.account, administrator=False) if powerless else bearer.account
    return Caller(account, given.token, bearer.scopes)


def _invitation(*, basic: bool, bearer: bool) -> str:
    ways = ["address and password (HTTP Basic)"] * basic + ["a token (Bearer)"] * bearer
    return f"This needs {' or '.join(ways)}."


def _ask(challenge: str) -> dict[str, str]:
    return {"WWW-Authenticate": challenge}
