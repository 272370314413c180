"""What the API says when it cannot do what was asked: problem documents (RFC 9457), never an internal detail."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import psycopg
from flask import Flask, Response, json
from marshmallow import ValidationError
from marshmallow.exceptions import SCHEMA
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from werkzeug.exceptions import HTTPException

from mailrecall import logs

log = logs.get(__name__)

MEDIA_TYPE = "application/problem+json"
TYPES_AT = "/api/v1/problems/"
"""Where each problem's own page is; a problem's `type` is a reference to it."""

MOST_ERRORS = 100
"""Fields that one problem names; who sends more than that wrong learns of the rest later."""

_RETRY_SOON = 5
"""Seconds after which a database that did not answer may be asked again."""


class Code(StrEnum):
    """The stable names of all problems; the refusals of R10 bear the names they have there."""

    BAD_REQUEST = "bad_request"
    BAD_JSON = "bad_json"
    NOT_AUTHENTICATED = "not_authenticated"
    NOT_SENDER = "not_sender"
    NOT_IN_ORGANISATION = "not_in_organisation"
    NOT_ALLOWED = "not_allowed"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    APPROVAL_REQUIRED = "approval_required"
    OWN_REQUEST = "own_request"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    WINDOW_EXPIRED = "window_expired"
    NOT_SENT_FROM_WEBMAIL = "not_sent_from_webmail"
    NO_LOCAL_RECIPIENTS = "no_local_recipients"
    NOT_SETTLED = "not_settled"
    NOTHING_TO_RESTORE = "nothing_to_restore"
    RETENTION_OVER = "retention_over"
    NOT_HELD = "not_held"
    ALREADY_DECIDED = "already_decided"
    BEING_SENT = "being_sent"
    ALREADY_SENT = "already_sent"
    KEY_IN_USE = "key_in_use"
    VERSION_CONFLICT = "version_conflict"
    TOO_LARGE = "too_large"
    VERSION_REQUIRED = "version_required"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    INVALID = "invalid"
    TOO_WIDE = "too_wide"
    KEY_REUSED = "key_reused"
    RECIPIENTS_REFUSED = "recipients_refused"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_GUESSES = "too_many_guesses"
    TOO_MANY_TOKENS = "too_many_tokens"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems of one code have in common."""

    status: HTTPStatus
    title: str


CATALOGUE: Mapping[Code, Kind] = {
    Code.BAD_REQUEST: Kind(HTTPStatus.BAD_REQUEST, "The request cannot be understood"),
    Code.BAD_JSON: Kind(HTTPStatus.BAD_REQUEST, "The body is not JSON"),
    Code.NOT_AUTHENTICATED: Kind(HTTPStatus.UNAUTHORIZED, "Sign in first"),
    Code.NOT_SENDER: Kind(HTTPStatus.FORBIDDEN, "Only its sender can recall a message"),
    Code.NOT_IN_ORGANISATION: Kind(HTTPStatus.FORBIDDEN, "The message does not come from this organisation"),
    Code.NOT_ALLOWED: Kind(HTTPStatus.FORBIDDEN, "That needs a role that you do not have"),
    Code.INSUFFICIENT_SCOPE: Kind(HTTPStatus.FORBIDDEN, "The token is not for that"),
    Code.APPROVAL_REQUIRED: Kind(HTTPStatus.FORBIDDEN, "A second administrator has to approve this recall"),
    Code.OWN_REQUEST: Kind(HTTPStatus.FORBIDDEN, "Another administrator has to decide"),
    Code.NOT_FOUND: Kind(HTTPStatus.NOT_FOUND, "There is no such thing"),
    Code.METHOD_NOT_ALLOWED: Kind(HTTPStatus.METHOD_NOT_ALLOWED, "That cannot be done here"),
    Code.WINDOW_EXPIRED: Kind(HTTPStatus.CONFLICT, "It is too late to recall this message"),
    Code.NOT_SENT_FROM_WEBMAIL: Kind(HTTPStatus.CONFLICT, "Only messages sent from webmail can be recalled"),
    Code.NO_LOCAL_RECIPIENTS: Kind(HTTPStatus.CONFLICT, "Nobody who got this message has a mailbox here"),
    Code.NOT_SETTLED: Kind(HTTPStatus.CONFLICT, "The recall is still going on"),
    Code.NOTHING_TO_RESTORE: Kind(HTTPStatus.CONFLICT, "The recall took no copy that could be put back"),
    Code.RETENTION_OVER: Kind(HTTPStatus.CONFLICT, "It is too late to undo this recall"),
    Code.NOT_HELD: Kind(HTTPStatus.CONFLICT, "The message does not wait any more"),
    Code.ALREADY_DECIDED: Kind(HTTPStatus.CONFLICT, "Somebody was faster, or it has lapsed"),
    Code.BEING_SENT: Kind(HTTPStatus.CONFLICT, "The draft is being sent"),
    Code.ALREADY_SENT: Kind(HTTPStatus.CONFLICT, "The message is on its way"),
    Code.KEY_IN_USE: Kind(HTTPStatus.CONFLICT, "The same request is being carried out"),
    Code.VERSION_CONFLICT: Kind(HTTPStatus.PRECONDITION_FAILED, "Somebody has saved another version"),
    Code.VERSION_REQUIRED: Kind(HTTPStatus.PRECONDITION_REQUIRED, "Say which version you mean"),
    Code.TOO_LARGE: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is too large"),
    Code.UNSUPPORTED_MEDIA_TYPE: Kind(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A body of this type is not taken here"),
    Code.INVALID: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "Some values are not right"),
    Code.TOO_WIDE: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "That search takes too long"),
    Code.KEY_REUSED: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "The key belongs to another request"),
    Code.RECIPIENTS_REFUSED: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "Some recipients cannot get this message"),
    Code.RATE_LIMITED: Kind(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests"),
    Code.TOO_MANY_GUESSES: Kind(HTTPStatus.TOO_MANY_REQUESTS, "Too many wrong passwords"),
    Code.TOO_MANY_TOKENS: Kind(HTTPStatus.CONFLICT, "There are too many tokens already"),
    Code.INTERNAL: Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here"),
    Code.UNAVAILABLE: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "A database does not answer"),
}

_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: Code.NOT_AUTHENTICATED,
    HTTPStatus.NOT_FOUND: Code.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: Code.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Code.TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Code.UNSUPPORTED_MEDIA_TYPE,
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: `pointer` is a JSON pointer (RFC 6901) in its URI fragment form."""

    pointer: str
    detail: str
    code: str | None = None

    def as_json(self) -> dict[str, str]:
        """Return it as a member of a problem's `errors`."""
        named = {"pointer": self.pointer, "detail": self.detail}
        return {**named, "code": self.code} if self.code else named


class Problem(Exception):  # noqa: N818 - the name RFC 9457 gives it
    """Ends a request with a problem."""

    def __init__(
        self,
        code: Code,
        detail: str,
        errors: Sequence[FieldError] = (),
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Describe the problem.

        Args:
            code: which one it is.
            detail: what is wrong this time, and what to do about it.
            errors: the fields that are wrong.
            headers: what the response says besides.
            extra: further members, such as when a window closed.
        """
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}
        self.extra = extra or {}

    def response(self) -> Response:
        """Return it as it goes over the wire."""
        kind = CATALOGUE[self.code]
        document: dict[str, object] = {
            "type": TYPES_AT + self.code,
            "title": kind.title,
            "status": kind.status.value,
            "detail": self.detail,
            "code": self.code.value,
            **self.extra,
        }
        if self.errors:
            document["errors"] = [error.as_json() for error in self.errors[:MOST_ERRORS]]
        response = Response(json.dumps(document), kind.status, mimetype=MEDIA_TYPE)
        response.headers.update(self.headers)
        return response


def not_found(what: str) -> Problem:
    """Return the problem of a thing that does not exist, or not for the one who asks (R24)."""
    return Problem(Code.NOT_FOUND, f"There is no such {what}.")


def invalid(error: ValidationError) -> Problem:
    """Return the problem of a body or query that its schema refused, field by field."""
    errors = list(_field_errors(error.messages, "#"))
    return Problem(Code.INVALID, "; ".join(f"{e.pointer}: {e.detail}" for e in errors[:3]), errors)


def _field_errors(messages: object, pointer: str) -> Iterator[FieldError]:
    if isinstance(messages, Mapping):
        for name, below in messages.items():
            token = str(name).replace("~", "~0").replace("/", "~1")
            yield from _field_errors(below, pointer if name == SCHEMA else f"{pointer}/{token}")
    elif isinstance(messages, list):
        for message in messages:
            yield from _field_errors(message, pointer)
    else:
        yield FieldError(pointer, str(messages))


def register(app: Flask) -> None:
    """Make every failure of the application a problem."""

    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return error.response()

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response | HTTPException:
        return of_http(error)

    # a statement that took too long and a server that shuts down are errors of operation as well
    for unavailable in (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed, TooManyRequests):
        app.register_error_handler(unavailable, _of_database)
    app.register_error_handler(Exception, _of_bug)


def of_http(error: HTTPException) -> Response | HTTPException:
    """Return what Flask or a router complained of as a problem; a redirection stays what it is."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    if status < HTTPStatus.BAD_REQUEST:
        return error
    code = _BY_STATUS.get(status, Code.BAD_REQUEST if status < HTTPStatus.INTERNAL_SERVER_ERROR else Code.INTERNAL)
    details = {
        Code.NOT_FOUND: "There is nothing at this address.",
        Code.METHOD_NOT_ALLOWED: "This address does not take that method; see the Allow header.",
        Code.TOO_LARGE: "The request is larger than this server takes.",
    }
    carried = {name: value for name, value in error.get_headers() if name.lower() == "allow"}
    return Problem(code, details.get(code, CATALOGUE[code].title + "."), headers=carried).response()


def _of_database(error: Exception) -> Response:
    log.warning("database.unavailable", failure=type(error).__name__)
    return Problem(
        Code.UNAVAILABLE,
        f"The database that this needs does not answer; try again in {_RETRY_SOON} seconds.",
        headers={"Retry-After": str(_RETRY_SOON)},
    ).response()


def _of_bug(error: Exception) -> Response:
    log.error("request.failed", **logs.describe(error))
    return Problem(
        Code.INTERNAL, "Something went wrong here; the request id in X-Request-Id leads to its trace in the log."
    ).response()


def catalogue_entry(code: Code) -> dict[str, Any]:
    """Return what the page of a problem's type says."""
    kind = CATALOGUE[code]
    return {"type": TYPES_AT + code, "code": code.value, "status": kind.status.value, "title": kind.title}
