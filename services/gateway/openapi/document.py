"""OpenAPI 3.1, generated: each route of the application with what `describe` declares of it."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from marshmallow import Schema
from werkzeug.routing import Rule

from services.gateway.describing import Answer, Description, SignIn, description_of
from services.gateway.openapi import failures, values

PREFIX = "/api/v1"
_INTRODUCTION = """\
Takes a message back out of the mailboxes it went to, and proves afterwards what it did.

Times are ISO 8601 with an offset. Links are references without a host. Unknown fields and parameters are refused.
Failures are problem documents (RFC 9457) whose `code` is stable.
"""
_RULES = re.compile(r"^R\d+(?:, R\d+)*: ")
_PARAMETER = re.compile(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>")
_SIGNED_IN: Mapping[SignIn, list[dict[str, list[str]]]] = {
    SignIn.ANY: [{"token": []}, {"password": []}],
    SignIn.PASSWORD: [{"password": []}],
    SignIn.TOKEN: [{"token": []}],
    SignIn.NOBODY: [],
}
_SAYS = {200: "Done.", 201: "Made.", 202: "Accepted.", 204: "Done; there is nothing to say."}
_TEXT: dict[str, Any] = {"type": "string"}
_HEADERS: Mapping[str, dict[str, Any]] = {
    "Idempotency-Key": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"}
}
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


def routes(app: Flask) -> Iterator[tuple[Rule, str, Callable[..., Any], Description | None]]:
    """Give each rule and method below the API's prefix, with its function and what is declared of it."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(PREFIX + "/"):
            view = app.view_functions[rule.endpoint]
            for method in sorted((rule.methods or set()) & _METHODS):
                yield rule, method, view, description_of(view)


def build(app: Flask, version: str) -> dict[str, Any]:
    """Return the document of an application's API; a route that nothing is declared of is left out."""
    kinds: dict[str, type[Schema]] = {}

    def named(schema: type[Schema] | Schema) -> str:
        kind = schema if isinstance(schema, type) else type(schema)
        name = _name(kind)
        kinds[name] = kind
        return name

    plugin = MarshmallowPlugin(schema_name_resolver=named)
    spec = APISpec(
        title="Mail Recall",
        version=version,
        openapi_version="3.1.0",
        plugins=[plugin],
        info={
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        servers=[{"url": "/"}],
    )
    values.teach(plugin)
    spec.components.schema("Problem", failures.PROBLEM)
    spec.components.security_scheme(
        "token", {"type": "http", "scheme": "bearer", "description": "A token (RFC 6750); see `POST /api/v1/tokens`."}
    )
    spec.components.security_scheme(
        "password", {"type": "http", "scheme": "basic", "description": "Address and password (RFC 7617)."}
    )
    taken: set[str] = set()
    for rule, method, view, described in routes(app):
        if described:
            taken |= {_name(schema) for schema in (described.body, described.form, described.query) if schema}
            spec.path(
                path=_PARAMETER.sub(r"{\1}", rule.rule),
                operations={method.lower(): _operation(rule, view, described)},
            )
    document: dict[str, Any] = spec.to_dict()
    values.complete(document["components"]["schemas"], kinds, taken)
    return document


def _operation(rule: Rule, view: Callable[..., Any], described: Description) -> dict[str, Any]:
    first, _, rest = (view.__doc__ or view.__name__).strip().partition("\n")
    summary = _RULES.sub("", first)
    subject = rule.endpoint.split(".")[-2]
    operation: dict[str, Any] = {
        "operationId": view.__name__,
        "summary": summary[:1].upper() + summary[1:],
        "tags": [subject.replace("_", " ")],
        "security": _SIGNED_IN[described.sign_in],
        "parameters": [*_path_parameters(rule), *_header_parameters(described)],
        "responses": {
            **{str(status): _answer(status, answer) for status, answer in described.answers.items()},
            **failures.responses(described, in_path=bool(rule.arguments)),
        },
    }
    if rest.strip():
        operation["description"] = " ".join(rest.split())
    if described.query:
        operation["parameters"].append({"in": "query", "schema": described.query})
    if described.scope:
        operation["x-scope"] = described.scope.value
    if described.body or described.form:
        operation["requestBody"] = {"required": not described.body_may_be_left_out, "content": _content(described)}
    return operation


def _content(described: Description) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if described.body:
        content["application/json"] = {"schema": described.body, **_example(described.body)}
    if described.form:
        content["multipart/form-data"] = {"schema": described.form, **_example(described.form)}
    return content


def _answer(status: int, answer: Answer) -> dict[str, Any]:
    says = answer.says or _SAYS[status]
    response: dict[str, Any] = {"description": says}
    if isinstance(answer.schema, tuple):
        response["content"] = {
            answer.media_type: {
                "schema": {"allOf" if answer.together else "anyOf": list(answer.schema)},
                **_example(answer.schema[0]),
            }
        }
    elif answer.schema:
        response["content"] = {answer.media_type: {"schema": answer.schema, **_example(answer.schema)}}
    elif answer.media_type != "application/json":
        response["content"] = {answer.media_type: {}}
    if answer.headers:
        response["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    return response


def _example(schema: type[Schema]) -> dict[str, Any]:
    example = getattr(schema, "EXAMPLE", None)
    return {"example": example} if example is not None else {}


def _path_parameters(rule: Rule) -> list[dict[str, Any]]:
    converters = getattr(rule, "_converters", {})
    return [
        {"in": "path", "name": name, "required": True, "schema": values.of_converter(converters.get(name))}
        for name in re.findall(_PARAMETER, rule.rule)
    ]


def _header_parameters(described: Description) -> list[dict[str, Any]]:
    return [
        {"in": "header", "name": name, "required": False, "description": text, "schema": _HEADERS.get(name, _TEXT)}
        for name, text in described.headers.items()
    ]


def _name(kind: type[Schema]) -> str:
    return kind.__name__.removesuffix("Schema")
