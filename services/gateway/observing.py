"""Every response bears a request id and the headers that tell browsers to be careful; every request is logged once."""

import re
from contextlib import AbstractContextManager, ExitStack
from time import monotonic
from uuid import uuid4

import structlog
from flask import Flask, Response, g, request
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from mailrecall import logs, tracing
from mailrecall.metrics import instruments

log = logs.get(__name__)

REQUEST_ID = "X-Request-Id"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_HEADERS = {
    # what anybody mailed must never run in this origin, whatever type it claims to have
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # mail belongs into no cache, and a copy that was recalled into none at all
    "Cache-Control": "no-store",
}


def register(app: Flask, *, https: bool) -> None:
    """Watch the application's requests.

    Args:
        app: the application.
        https: whether people reach it by TLS only.
    """
    headers = {**_HEADERS, "Strict-Transport-Security": "max-age=31536000"} if https else _HEADERS

    @app.before_request
    def begin() -> None:
        given = request.headers.get(REQUEST_ID, "")
        g.request_id = given if _ACCEPTABLE_ID.fullmatch(given) else uuid4().hex
        g.began_at = monotonic()
        g.span = ExitStack()
        g.span.enter_context(_span())
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)
        if trace_id := tracing.trace_id():
            structlog.contextvars.bind_contextvars(trace_id=trace_id)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers[REQUEST_ID] = g.request_id
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        # the rule, not the address that was asked for: what stands in a query or a path can be anything
        seconds = monotonic() - g.began_at
        log.info(
            "http.request",
            method=request.method,
            route=request.url_rule.rule if request.url_rule else None,
            status=response.status_code,
            milliseconds=round(seconds * 1000, 1),
        )
        instruments.request_served(_method(), _route(), response.status_code, seconds)
        trace.get_current_span().set_attribute("http.response.status_code", response.status_code)
        return response

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        # the thread goes on to serve somebody else
        g.span.close()
        structlog.contextvars.clear_contextvars()


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _method() -> str:
    """Return the method, where it is one: a client can write anything, and each word would be a label of its own."""
    return request.method if request.method in _METHODS else "other"


def _route() -> str:
    return request.url_rule.rule if request.url_rule else "none"


def _span() -> AbstractContextManager[Span]:
    facts = {"http.request.method": _method(), "http.route": _route()}
    name = f"{_method()} {_route()}"
    return tracing.span(name, kind=SpanKind.SERVER, parent=request.headers.get("traceparent"), attributes=facts)
