"""Signing in at an OpenID provider: there, and back with its word for who one is.

One goes there by a link, not by a form: browsers hold a form's redirections to `form-action 'self'`, too.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import cast

import structlog
from flask import Blueprint, Flask, Response, current_app, redirect, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock, logs
from mailrecall.directory import provider_sign_ins
from mailrecall.directory import sessions as directory
from mailrecall.directory.lookup import Account
from mailrecall.directory.provider_sign_ins import PATIENCE, Taken
from services.gateway.current import process
from services.gateway.pages import cookies, sessions, signing_in
from services.gateway.problems import Code, Problem
from services.gateway.provider import EXTENSION, Provider, ProviderError, Reason
from services.gateway.settings import GatewaySettings

log = logs.get(__name__)

blueprint = Blueprint("provider_sign_in", __name__, url_prefix="/sign-in/provider")

_BACK = "/sign-in/provider/back"
_COOKIE = "mailrecall_provider"
_LONGEST = 4_000

_STATUS = {
    Reason.AWAY: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.DENIED: HTTPStatus.FORBIDDEN,
    Reason.STALE: HTTPStatus.BAD_REQUEST,
    Reason.UNTRUSTED: HTTPStatus.FORBIDDEN,
    Reason.UNKNOWN: HTTPStatus.FORBIDDEN,
}


def register(app: Flask, settings: GatewaySettings) -> None:
    """Have an application know the provider that the settings name, if they do."""
    if settings.oidc_issuer:
        app.extensions[EXTENSION] = Provider(settings, settings.public_url.rstrip("/") + _BACK)


@blueprint.get("")
def go() -> AnyResponse:
    """Send somebody to the provider."""
    provider = _provider()
    target = signing_in.local_target(request.args.get("next"))
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        # no other site signs anybody in: they are asked first
        return redirect(url_for("pages.signing_in.form", next=target), 303)
    with process().databases.control() as control:
        begun = provider_sign_ins.begin(control, target, now=clock.now())
    try:
        there = provider.address_to_go_to(begun, ask_again=signing_in.ASK_AGAIN in request.cookies)
    except ProviderError as error:
        return _refused(error, target)
    response = cast("Response", redirect(there, 303))
    cookies.keep(response, _cookie(), begun.browser, max_age=PATIENCE)
    return response


@blueprint.get("/back")
def come_back() -> AnyResponse:
    """Begin a session for whom the provider vouches for, if they have an account here."""
    provider = _provider()
    answer = {name: value[:_LONGEST] for name, value in request.args.items()}
    with process().databases.control() as control:
        browser = request.cookies.get(_cookie(), "")
        taken = provider_sign_ins.take(control, answer.get("state", ""), browser, now=clock.now())
    if taken is None:
        return _refused(ProviderError(Reason.STALE, "no_such_state"), None)
    try:
        account = _vouched_for(provider, answer, taken)
    except ProviderError as error:
        return _refused(error, taken.target)
    return _signed_in(account, taken.target)


def _vouched_for(provider: Provider, answer: Mapping[str, str], taken: Taken) -> Account:
    """Return the account of whom the provider vouches for.

    Raises:
        ProviderError: there is none, or it does not.
    """
    if "error" in answer:
        # RFC 6749 section 4.1.2.1; what it says is its own, and goes neither to the page nor to the log
        away = answer["error"] in ("server_error", "temporarily_unavailable")
        raise ProviderError(Reason.AWAY if away else Reason.DENIED, "error_response")
    address = provider.verified_address(answer, taken, now=clock.now())
    with process().databases.control() as control:
        account = provider_sign_ins.account_of(control, address)
    if account is None:
        # nobody learns whether it is unknown or closed
        raise ProviderError(Reason.UNKNOWN, "no_open_account")
    return account


def _signed_in(account: Account, target: str | None) -> Response:
    with process().databases.control() as control:
        if (before := sessions.current()) is not None:
            directory.end(control, before.secret)
        secret = directory.begin(control, account.id, sessions.life(), now=clock.now())
    structlog.contextvars.bind_contextvars(account_id=account.id)
    log.info("pages.signed_in", by="provider")
    response = cast("Response", redirect(target or url_for("pages.mail.folder", slug="inbox"), 303))
    sessions.give_cookie(response, secret)
    cookies.drop(response, _cookie())
    cookies.drop(response, signing_in.ASK_AGAIN)
    return response


def _refused(error: ProviderError, target: str | None) -> Response:
    status = _STATUS[error.reason]
    log.warning("pages.provider_sign_in_refused", reason=error.reason.value, cause=error.cause)
    response = signing_in.refused(status, _words(error.reason), "", target)
    cookies.drop(response, _cookie())
    return response


def _words(reason: Reason) -> str:
    match reason:
        case Reason.AWAY:
            words = _("The sign-in service does not answer right now. Try again in a few minutes.")
        case Reason.DENIED:
            words = _("You have not been signed in. Try again if you want to.")
        case Reason.STALE:
            words = _("That sign-in took too long, or was begun in another window. Begin anew.")
        case Reason.UNTRUSTED:
            words = _(
                "What the sign-in service said could not be confirmed. Begin anew; "
                "if it stays, tell your administrator."
            )
        case Reason.UNKNOWN:
            words = _("There is no mailbox here that you can open this way. Ask your administrator.")
    return str(words)


def _provider() -> Provider:
    provider = cast("Provider | None", current_app.extensions.get(EXTENSION))
    if provider is None:
        raise Problem(Code.NOT_FOUND, "There is nothing at this address.")
    return provider


def _cookie() -> str:
    # RFC 6265bis section 4.1.3.2: with this prefix no other host of the domain can have set it
    return f"__Host-{_COOKIE}" if cookies.is_https() else _COOKIE
