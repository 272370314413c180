"""Requests come in here: body, form and query, each through a schema that refuses what it does not know."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flask import current_app, request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from services.gateway.describing import description_of
from services.gateway.problems import Code, FieldError, Problem, invalid

T = TypeVar("T")


def json_body(schema: Schema, kind: Callable[..., T]) -> T:
    """Read the JSON body.

    Raises:
        Problem: it is of another type, is no JSON, or its schema refuses it.
    """
    if request.mimetype != "application/json":
        raise Problem(Code.UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json.")
    try:
        document = json.loads(_octets(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Problem(Code.BAD_JSON, "The body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise Problem(Code.BAD_JSON, "The body must be a JSON object.")
    return load(schema, kind, document)


def has_body() -> bool:
    """Tell whether the request brings a body; one in chunks has no length that would say so."""
    if request.content_length is not None:
        return request.content_length > 0
    # kept by the request, for whoever reads it then
    return bool(request.get_data())


def query(schema: Schema, kind: Callable[..., T]) -> T:
    """Read the query string; a parameter given twice is refused, since nobody can tell which one was meant.

    Raises:
        Problem: the schema refuses it.
    """
    values = {name: given[0] if len(given) == 1 else given for name, given in request.args.lists()}
    return load(schema, kind, values)


def refuse_undeclared_parameters() -> None:
    """Refuse query parameters where a route takes none, so that a mistyped one cannot be overlooked.

    Raises:
        Problem: there are some.
    """
    described = description_of(current_app.view_functions.get(request.endpoint or ""))
    if request.args and described and described.query is None:
        unknown = [FieldError(f"#/{name}", "Unknown field.") for name in request.args]
        raise Problem(Code.INVALID, "This address takes no parameters.", unknown)


def load(schema: Schema, kind: Callable[..., T], document: Mapping[str, Any]) -> T:
    """Put a document through its schema and make a value of it.

    Raises:
        Problem: with an error for each field that is missing, unknown or wrong.
    """
    try:
        return kind(**schema.load(document))
    except ValidationError as error:
        raise invalid(error) from None


def _octets() -> bytes:
    body = request.get_data(cache=False)
    # a chunked body has no length to be refused by beforehand: werkzeug cuts it off at the limit without a word
    if request.content_length is None and len(body) >= (request.max_content_length or len(body) + 1):
        raise RequestEntityTooLarge
    return body


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
