"""The problems that a route can answer with (RFC 9457), as the document has them."""

from collections.abc import Iterator
from typing import Any

from services.gateway.describing import Description, SignIn
from services.gateway.problems import CATALOGUE, MEDIA_TYPE, TYPES_AT, Code

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong (RFC 9457). Some problems have further members.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "Leads to a page about the problem."},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What is wrong this time, and what to do about it."},
        "code": {"type": "string", "enum": [code.value for code in Code], "description": "Stable."},
        "errors": {
            "type": "array",
            "description": "The fields that are wrong.",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "A JSON pointer (RFC 6901) as URI fragment."},
                    "detail": {"type": "string"},
                    "code": {"type": "string", "description": "Stable, where it stands."},
                },
                "required": ["pointer", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code"],
}

RATE_LIMIT_HEADERS = {
    "RateLimit-Policy": 'How many requests (`q`) there may be in how many seconds (`w`): `"account";q=6000;w=60`.',
    "RateLimit": 'How many are left (`r`), for how many seconds (`t`): `"account";r=0;t=21`.',
}
"""Every answer that was counted has them."""

_WITH_RETRY = {Code.RATE_LIMITED, Code.TOO_MANY_GUESSES, Code.UNAVAILABLE}


def codes(described: Description, *, in_path: bool) -> Iterator[Code]:
    """Give every code that a route can answer with."""
    yield from (Code.BAD_REQUEST, Code.INVALID, Code.TOO_LARGE, Code.RATE_LIMITED, Code.INTERNAL, Code.UNAVAILABLE)
    yield from described.problems
    if described.sign_in is not SignIn.NOBODY:
        yield from (Code.NOT_AUTHENTICATED, Code.INSUFFICIENT_SCOPE, Code.TOO_MANY_GUESSES)
    if described.body or described.form:
        yield from (Code.BAD_JSON, Code.UNSUPPORTED_MEDIA_TYPE)
    if in_path:
        yield Code.NOT_FOUND


def responses(described: Description, *, in_path: bool) -> dict[str, Any]:
    """Return a route's problems by status, each code with an example."""
    by_status: dict[int, list[Code]] = {}
    possible = set(codes(described, in_path=in_path))
    for code in Code:
        if code in possible:
            by_status.setdefault(CATALOGUE[code].status.value, []).append(code)
    return {str(status): _response(found) for status, found in sorted(by_status.items())}


def _response(found: list[Code]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": " ".join(f"`{code}`: {CATALOGUE[code].title}." for code in found),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {code.value: {"value": _example(code)} for code in found},
            }
        },
    }
    if _WITH_RETRY.intersection(found):
        response["headers"] = {
            "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
        }
    if Code.RATE_LIMITED in found:
        response["headers"] |= {
            name: {"description": text, "schema": {"type": "string"}} for name, text in RATE_LIMIT_HEADERS.items()
        }
    if Code.NOT_AUTHENTICATED in found:
        response["headers"] = {"WWW-Authenticate": {"description": "What is taken here.", "schema": {"type": "string"}}}
    return response


def _example(code: Code) -> dict[str, Any]:
    kind = CATALOGUE[code]
    return {
        "type": TYPES_AT + code,
        "title": kind.title,
        "status": kind.status.value,
        "detail": kind.title + ".",
        "code": code.value,
    }
