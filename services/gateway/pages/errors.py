"""What a page shows when it cannot be what was asked for: calm words in the reader's language, and a way on."""

from http import HTTPStatus

import psycopg
from flask import Blueprint, Flask, Response, request
from flask_babel import gettext as _
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from werkzeug.exceptions import BadHost, HTTPException

from mailrecall import logs
from services.gateway import problems
from services.gateway.pages import sessions
from services.gateway.pages.rendering import page
from services.gateway.pages.wording import told
from services.gateway.problems import CATALOGUE, Problem

log = logs.get(__name__)

_OUTAGES = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed, TooManyRequests)
_RETRY_SOON = "5"


def register(app: Flask, pages: Blueprint) -> None:
    """Show errors of pages, and of addresses that lead nowhere, as pages."""
    pages.register_error_handler(Problem, of_problem)
    pages.register_error_handler(HTTPException, _of_http)
    for outage in _OUTAGES:
        pages.register_error_handler(outage, _of_outage)
    pages.register_error_handler(Exception, _of_bug)

    @app.errorhandler(HTTPException)
    def anywhere(error: HTTPException) -> Response | HTTPException:
        # a page leads on to others, whose addresses cannot be written for a host that cannot be one
        if _wants_page() and not isinstance(error, BadHost):
            try:
                sessions.load()
            except _OUTAGES:  # the page can do without
                log.warning("pages.session_unknown")
            return _of_http(error)
        return problems.of_http(error)


def of_problem(error: Problem) -> Response:
    """Show a problem of a use case as a page."""
    response = show(CATALOGUE[error.code].status, told(error))
    response.headers.update(error.headers)
    return response


def show(status: HTTPStatus, detail: str | None = None) -> Response:
    """Return an error page; or its words alone, for a script that tells them in the page it belongs to."""
    title, words = _words(status)
    if "HX-Request" in request.headers:
        return page("error_words.html", status=status, words=detail or words)
    return page("error.html", status=status, title=title, detail=detail or words, code=status.value)


def _words(status: HTTPStatus) -> tuple[str, str]:
    match status:
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
            return _("There is nothing here"), _("The page or message does not exist, or not any more.")
        case HTTPStatus.FORBIDDEN | HTTPStatus.UNAUTHORIZED:
            return _("That is not allowed"), _("You do not have the right to see or do this.")
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return _("Just a moment"), _("A database does not answer right now. Try again in a few seconds.")
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return _("That is too large"), _("The attachments are larger than this server takes.")
        case HTTPStatus.TOO_MANY_REQUESTS:
            return _("A little slower, please"), _("There were too many requests. Wait a moment and try again.")
        case _ if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return _("That did not work"), _("The request could not be understood.")
        case _:
            return _("Something went wrong"), _(
                "The error has been recorded. Try again; if it stays, tell your administrator."
            )


def _of_http(error: HTTPException) -> Response | HTTPException:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    return show(status) if status >= HTTPStatus.BAD_REQUEST else error


def _of_outage(error: Exception) -> Response:
    log.warning("database.unavailable", failure=type(error).__name__)
    response = show(HTTPStatus.SERVICE_UNAVAILABLE)
    response.headers["Retry-After"] = _RETRY_SOON
    return response


def _of_bug(error: Exception) -> Response:
    log.error("request.failed", **logs.describe(error))
    return show(HTTPStatus.INTERNAL_SERVER_ERROR)


def _wants_page() -> bool:
    if request.path.startswith("/api/"):
        return False
    best = request.accept_mimetypes.best_match([problems.MEDIA_TYPE, "application/json", "text/html"])
    return best == "text/html"
