"""The API's document has every route of the application, and says what is true of it."""

import warnings
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from marshmallow import Schema

from mailrecall.postgres.databases import Databases
from mailrecall.wiring import Process
from services.gateway.app import create_app
from services.gateway.describing import Description, SignIn, description_of
from services.gateway.openapi import document
from services.gateway.problems import Code
from services.gateway.settings import GatewaySettings

NOT_DESCRIBED_YET: set[str] = set()
"""Functions of routes that nothing is declared of yet. Whoever cannot do it at once writes the name down here."""


@pytest.fixture(scope="module")
def app() -> Flask:
    settings = GatewaySettings.model_validate(
        {"control_url": "postgresql://nowhere/", "shard_urls": "postgresql://nowhere/", "broker_url": "redis://nowhere"}
    )
    return create_app(Process(settings, Databases(settings, "tests")))


@pytest.fixture(scope="module")
def openapi(app: Flask) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return document.build(app, "1.2.3")


def operations(openapi: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def described(app: Flask) -> Iterator[Description]:
    for _rule, _method, view, description in document.routes(app):
        if view.__name__ not in NOT_DESCRIBED_YET:
            assert description
            yield description


def test_every_route_is_described(app):
    missing = {
        f"{method} {rule.rule} ({view.__module__}.{view.__name__})"
        for rule, method, view, description in document.routes(app)
        if description is None and view.__name__ not in NOT_DESCRIBED_YET
    }
    assert missing == set(), "Put @describe(…) below the route's decorator; docs/adr/0022 shows how."


def test_what_is_described_by_now_is_not_excused(app):
    lacking = {view.__name__ for _, _, view, description in document.routes(app) if description is None}
    assert NOT_DESCRIBED_YET - lacking == set()


def test_no_two_schemas_share_a_name(app):
    kinds: dict[str, set[type[Schema]]] = {}
    for description in described(app):
        given = [answer.schema for answer in description.answers.values()]
        flat = [kind for one in given for kind in (one if isinstance(one, tuple) else [one])]
        for kind in [*flat, description.body, description.form, description.query]:
            if kind:
                kinds.setdefault(kind.__name__, set()).add(kind)
    assert {name for name, found in kinds.items() if len(found) > 1} == set()


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(openapi):
    ids = [operation["operationId"] for _, _, operation in operations(openapi)]
    assert len(ids) == len(set(ids))
    assert all(operation["summary"].endswith(".") for _, _, operation in operations(openapi))


def test_what_is_taken_and_given_has_a_schema(app):
    for description in described(app):
        for status, answer in description.answers.items():
            file = answer.media_type != "application/json"
            assert answer.schema or file or status in (204, 304), description


def test_every_operation_names_its_problems(openapi):
    for method, path, operation in operations(openapi):
        assert {"400", "422", "429", "500", "503"} <= operation["responses"].keys(), (method, path)
        if operation["security"]:
            assert {"401", "403"} <= operation["responses"].keys(), (method, path)
        if "requestBody" in operation:
            assert {"413", "415"} <= operation["responses"].keys(), (method, path)


def test_every_code_is_in_the_document(openapi):
    shown = {
        code
        for _, _, operation in operations(openapi)
        for response in operation["responses"].values()
        for code in response.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    # which no route of the API itself answers with
    assert {code.value for code in Code} - shown <= {"method_not_allowed"}


def test_examples_are_what_their_schemas_say(app, openapi):
    resolver = {**openapi["components"]["schemas"]}
    without = set()
    for name, schema in resolver.items():
        root = {"components": openapi["components"], "$ref": f"#/components/schemas/{name}"}
        if not schema.get("examples"):
            without.add(name)
        for example in schema.get("examples", []):
            jsonschema_rs.Draft202012Validator(root, validate_formats=True).validate(example)
    assert without <= {"Problem"}


def test_the_document_is_openapi(openapi):
    assert openapi["openapi"] == "3.1.0"
    assert openapi["components"]["securitySchemes"].keys() == {"token", "password"}
    for _, path, operation in operations(openapi):
        named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert all(f"{{{name}}}" in path for name in named)


def test_a_route_can_be_open_to_everybody(app):
    open_routes = {
        rule.rule
        for rule, _, view, _ in document.routes(app)
        if (d := description_of(view)) and d.sign_in is SignIn.NOBODY
    }
    assert open_routes == {
        "/api/v1/docs",
        "/api/v1/docs/<name>",
        "/api/v1/openapi.json",
        "/api/v1/problems",
        "/api/v1/problems/<name>",
    }
