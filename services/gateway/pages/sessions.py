"""Who uses the pages: a session in the control database, its secret in a cookie that no script can read."""

from datetime import timedelta
from typing import cast
from urllib.parse import urlsplit

import structlog
from flask import Response, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock
from mailrecall.directory import sessions as directory
from mailrecall.directory.sessions import Life, Notice, NoticeKind, Session
from services.gateway.current import Caller, process, set_caller
from services.gateway.pages import cookies
from services.gateway.problems import Code, Problem

_NAME = "mailrecall_session"
_LONGEST_SECRET = 100
_BACKGROUND = "X-Background"
_EVENTS = "text/event-stream"
"""What a page's stream accepts (WHATWG HTML 9.2). It bears no header of ours, and comes back while the page is open."""
_LONGEST_OF_NOBODY = 64 * 1024
"""Octets that a request without a session may have: it is read before anybody knows who sent it."""


def load() -> None:
    """Find out whose session the request belongs to, if any."""
    g.session = None
    secret = request.cookies.get(_cookie(), "")
    if not secret or len(secret) > _LONGEST_SECRET:
        return
    with process().databases.control() as control:
        # what a page asks by itself keeps nobody signed in
        unasked = _BACKGROUND in request.headers or _EVENTS in request.headers.get("Accept", "")
        found = directory.find(control, secret, life(), now=clock.now(), prolong=not unasked)
    if found is not None:
        g.session = found
        set_caller(Caller(found.account, None))
        structlog.contextvars.bind_contextvars(account_id=found.account.id)


def bound() -> None:
    """Take little from those who are not signed in; to be called before anything reads the request's body."""
    if current() is None:
        request.max_content_length = min(request.max_content_length or _LONGEST_OF_NOBODY, _LONGEST_OF_NOBODY)


def require() -> AnyResponse | None:
    """Let only those through who are signed in; others sign in first, and come back then."""
    if current() is not None:
        return None
    sign_in = url_for("pages.signing_in.form", next=request.full_path.rstrip("?") if request.method == "GET" else None)
    if "HX-Request" in request.headers:
        # a part of a page cannot show the form: the whole page goes there, and comes back to what it shows now
        shown = urlsplit(request.headers.get("HX-Current-URL", ""))
        sign_in = url_for("pages.signing_in.form", next=shown.path or None)
        return Response(status=204, headers={"HX-Redirect": sign_in})
    return redirect(sign_in, 303)


def require_administrator() -> AnyResponse | None:
    """Let only administrators through (R19); for others there is nothing here."""
    if (answer := require()) is not None:
        return answer
    if not signed_in().account.administrator:
        raise Problem(Code.NOT_FOUND, "There is nothing at this address.")
    return None


def require_moderator() -> AnyResponse | None:
    """Let only those through who decide on held mail (R30); for others there is nothing here."""
    if (answer := require()) is not None:
        return answer
    if not signed_in().moderator:
        raise Problem(Code.NOT_FOUND, "There is nothing at this address.")
    return None


def current() -> Session | None:
    """Return the session of whoever asks; None where nobody is signed in."""
    return cast("Session | None", g.get("session"))


def signed_in() -> Session:
    """Return the session of whoever asks; only for pages that require one."""
    session = current()
    if session is None:
        raise AssertionError("this page requires nobody to be signed in")
    return session


def notify(text: str, kind: NoticeKind = "done") -> None:
    """Tell somebody signed in something on the next page; the text is in their language already."""
    with process().databases.control() as control:
        directory.add_notice(control, signed_in().secret, Notice(kind, text))


def take_notices() -> list[Notice]:
    """Return what the page now made has to tell, and forget it."""
    session = current()
    if session is None or not session.notices:
        return []
    with process().databases.control() as control:
        directory.clear_notices(control, session.secret)
    return list(session.notices)


def give_cookie(response: Response, secret: str) -> None:
    """Hand the secret of a new session to the browser."""
    cookies.keep(response, _cookie(), secret, max_age=life().longest)


def take_cookie(response: Response) -> None:
    """Have the browser forget its session."""
    cookies.drop(response, _cookie())


def life() -> Life:
    """Return how long sessions last here."""
    settings = process().settings
    return Life(timedelta(seconds=settings.session_idle), timedelta(seconds=settings.session_lifetime))


def _cookie() -> str:
    # RFC 6265bis section 4.1.3.2: with this prefix no other host of the domain can have set it
    return f"__Host-{_NAME}" if cookies.is_https() else _NAME
