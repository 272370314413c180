"""Signing in and out, and the language of those who have not signed in yet."""

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit

import structlog
from flask import Blueprint, Response, redirect, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock, logs
from mailrecall.directory import sessions as directory
from mailrecall.directory.lookup import Language
from services.gateway import authentication
from services.gateway.current import process
from services.gateway.pages import cookies, languages, rendering, sessions
from services.gateway.pages.rendering import page
from services.gateway.problems import CATALOGUE, Code, Problem

log = logs.get(__name__)

blueprint = Blueprint("signing_in", __name__)

ASK_AGAIN = "mailrecall_ask_again"
"""A cookie: somebody has signed out here, and the provider, which knows them still, is not to let the next one in."""

_A_YEAR = timedelta(days=365)
_LONGEST = 1_000


@blueprint.get("/")
def home() -> AnyResponse:
    """Lead on to where somebody reads mail."""
    return redirect(url_for("pages.signing_in.form") if sessions.current() is None else _first_page(), 303)


@blueprint.get("/sign-in")
def form() -> AnyResponse:
    """Show the form; who is signed in needs none."""
    target = local_target(request.args.get("next"))
    if sessions.current() is not None:
        return redirect(target or _first_page(), 303)
    return page("sign_in.html", target=target, address="", wrong=None, provider=_provider())


@blueprint.post("/sign-in")
def sign_in() -> AnyResponse:
    """Begin a session for whoever knows address and password."""
    address = request.form.get("address", "").strip()[:_LONGEST]
    target = local_target(request.form.get("next"))
    try:
        account = authentication.account_of_password(address, request.form.get("password", ""))
    except Problem as problem:
        return refused(CATALOGUE[problem.code].status, _unchecked(problem), address, target, problem.headers)
    if account is None:
        log.info("pages.sign_in_failed")
        wrong = _("That address and password do not belong together.")
        return refused(HTTPStatus.UNAUTHORIZED, wrong, address, target)
    with process().databases.control() as control:
        secret = directory.begin(control, account.id, sessions.life(), now=clock.now())
    structlog.contextvars.bind_contextvars(account_id=account.id)
    log.info("pages.signed_in", by="password")
    response = cast("Response", redirect(target or _first_page(), 303))
    sessions.give_cookie(response, secret)
    return response


def _unchecked(problem: Problem) -> str:
    """Return why a password was not looked at."""
    match problem.code:
        case Code.TOO_MANY_GUESSES:
            return str(_("Too many passwords were wrong. Wait a few minutes, then try again."))
        case Code.UNAVAILABLE:
            return str(_("Too many people are signing in right now. Try again in a few seconds."))
        case _:
            raise problem


@blueprint.post("/sign-out")
def sign_out() -> AnyResponse:
    """End the session; or every session of the account, everywhere."""
    session = sessions.current()
    if session is not None:
        with process().databases.control() as control:
            if "everywhere" in request.form:
                directory.end_all(control, session.account.id)
            else:
                directory.end(control, session.secret)
    response = cast("Response", redirect(url_for("pages.signing_in.form"), 303))
    sessions.take_cookie(response)
    if session is not None and process().settings.oidc_issuer:
        cookies.keep(response, ASK_AGAIN, "1", max_age=_A_YEAR)
    return response


@blueprint.post("/language")
def choose_language() -> AnyResponse:
    """Have the pages speak a language from now on."""
    chosen = request.form.get("language", "")
    response = cast(
        "Response", redirect(local_target(request.form.get("next")) or url_for("pages.signing_in.home"), 303)
    )
    if chosen in languages.LANGUAGES:
        keep_language(response, cast("Language", chosen))
    return response


def keep_language(response: Response, chosen: Language) -> None:
    """Keep a choice of language: in the browser, and for somebody signed in with the account."""
    cookies.keep(response, languages.LANGUAGE_COOKIE, chosen, max_age=_A_YEAR)
    if (session := sessions.current()) is not None:
        with process().databases.control() as control:
            directory.choose_language(control, session.account.id, chosen)


def keep_theme(response: Response, chosen: str) -> None:
    """Keep a choice of light or dark in the browser."""
    if chosen in rendering.THEMES:
        cookies.keep(response, rendering.THEME_COOKIE, chosen, max_age=_A_YEAR)


def local_target(given: str | None) -> str | None:
    """Return an address to go on to if it is one of this site's own; any other would lead people away."""
    if not given or not given.startswith("/") or given.startswith(("//", "/\\")) or len(given) > _LONGEST:
        return None
    if any(ord(character) <= ord(" ") or character == "\\" for character in given):
        return None
    split = urlsplit(given)
    return None if split.scheme or split.netloc or split.path == "/sign-out" else given


def refused(
    status: HTTPStatus, wrong: str, address: str, target: str | None, headers: Mapping[str, str] | None = None
) -> Response:
    """Show the form again, with what went wrong."""
    response = page("sign_in.html", status, target=target, address=address, wrong=wrong, provider=_provider())
    response.headers.update(headers or {})
    return response


def _provider() -> str | None:
    """Return what the way to the OpenID provider is called; None where there is none."""
    settings = process().settings
    return (settings.oidc_button or str(_("Sign in with your organisation"))) if settings.oidc_issuer else None


def _first_page() -> str:
    return url_for("pages.mail.folder", slug="inbox")
