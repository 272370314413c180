"""No other site can make a browser do something here: forms bear a token, and browsers say where a request is from.

The token is made from a secret cookie: the session's, or before signing in one that the sign-in page sets.
"""

import hashlib
import hmac
import secrets

from flask import Response, g, request

from services.gateway.pages import cookies, sessions
from services.gateway.problems import Code, Problem

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_VISITOR = "mailrecall_visitor"
_PURPOSE = b"mailrecall csrf"


def check() -> None:
    """Refuse what changes something and was not asked for by a page of ours.

    Raises:
        Problem: the token is missing or not the session's, or another site made the request.
    """
    if request.method in _SAFE:
        return
    # what browsers say themselves (Fetch Metadata): a page of another site, or of a sibling host
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise _refused()
    given = request.headers.get(HEADER) or request.form.get(FIELD, "")
    secret = _secret()
    if not secret or not hmac.compare_digest(given.encode("utf-8", "replace"), _token(secret).encode()):
        raise _refused()


def token() -> str:
    """Return the token that the forms of the page now made bear."""
    secret = _secret()
    if not secret:
        secret = g.new_visitor = secrets.token_urlsafe(24)
    return _token(secret)


def keep_visitor(response: Response) -> None:
    """Give the cookie that the token stands on to somebody who is not signed in and has none."""
    if visitor := g.get("new_visitor"):
        cookies.keep(response, _VISITOR, visitor)


def _secret() -> str:
    session = sessions.current()
    return session.secret if session else request.cookies.get(_VISITOR, "") or g.get("new_visitor", "")


def _token(secret: str) -> str:
    return hmac.new(secret.encode("utf-8", "surrogatepass"), _PURPOSE, hashlib.sha256).hexdigest()


def _refused() -> Problem:
    return Problem(Code.NOT_ALLOWED, "This page is out of date; load it anew and try again.")
