"""Problems have stable codes, and docs/api.md knows every one of them and every route."""

import re
from pathlib import Path

import pytest
from flask import Flask
from marshmallow import ValidationError
from marshmallow.exceptions import SCHEMA

from mailrecall.domain.recalls import Refusal
from mailrecall.postgres.databases import Databases, TransactionLostError
from mailrecall.wiring import Process
from services.gateway.app import create_app
from services.gateway.problems import CATALOGUE, MOST_ERRORS, Code, FieldError, Problem, catalogue_entry, invalid
from services.gateway.recalling import _DETAILS
from services.gateway.settings import GatewaySettings

DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def app() -> Flask:
    settings = GatewaySettings.model_validate(
        {"control_url": "postgresql://nowhere/", "shard_urls": "postgresql://nowhere/", "broker_url": "redis://nowhere"}
    )
    return create_app(Process(settings, Databases(settings, "tests")))


def test_every_code_has_its_place_in_the_catalogue():
    assert CATALOGUE.keys() == set(Code)
    assert all(kind.status >= 400 for kind in CATALOGUE.values())


@pytest.mark.rule(10)
def test_r10_every_refusal_is_a_problem_of_the_same_name():
    assert {refusal.value for refusal in Refusal} <= {code.value for code in Code}
    assert _DETAILS.keys() == set(Refusal)


@pytest.mark.parametrize("path", ["/healthz", "/sign-in"])
def test_a_transaction_that_was_held_up_is_to_be_tried_again(app, monkeypatch, path):
    def held_up(**_: object) -> None:
        raise TransactionLostError("terminating connection due to idle-in-transaction timeout")

    endpoint, _ = app.url_map.bind("localhost").match(path)
    monkeypatch.setitem(app.view_functions, endpoint, held_up)
    assert app.test_client().get(path).status_code == 503


def test_a_problem_has_the_form_of_the_rfc(app):
    problem = Problem(
        Code.WINDOW_EXPIRED,
        "Too late.",
        [FieldError("#/message_id", "is old", "old")],
        headers={"Retry-After": "1"},
        extra={"closed_at": "then"},
    )
    with app.app_context():
        response = problem.response()
    assert response.mimetype == "application/problem+json"
    assert response.status_code == 409
    assert response.headers["Retry-After"] == "1"
    assert response.get_json() == {
        "type": "/api/v1/problems/window_expired",
        "title": "It is too late to recall this message",
        "status": 409,
        "detail": "Too late.",
        "code": "window_expired",
        "closed_at": "then",
        "errors": [{"pointer": "#/message_id", "detail": "is old", "code": "old"}],
    }


def test_a_problem_does_not_grow_with_what_is_wrong(app):
    errors = [FieldError(f"#/{number}", "Unknown field.") for number in range(10_000)]
    with app.app_context():
        assert len(Problem(Code.INVALID, "All wrong.", errors).response().get_json()["errors"]) == MOST_ERRORS


def test_errors_point_at_fields_however_deep():
    messages = {
        "subject": ["Must be text."],
        "attachments": {2: {"content": ["Is not base64."], "a/b~": ["Unknown field."]}},
        SCHEMA: ["Nothing at all."],
    }
    assert [(error.pointer, error.detail) for error in invalid(ValidationError(messages)).errors] == [
        ("#/subject", "Must be text."),
        ("#/attachments/2/content", "Is not base64."),
        ("#/attachments/2/a~1b~0", "Unknown field."),
        ("#", "Nothing at all."),
    ]


def test_the_document_has_every_code_with_its_status():
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", DOCUMENT, re.MULTILINE)
    assert sorted(rows) == sorted((code.value, str(catalogue_entry(code)["status"])) for code in Code)


def test_the_document_has_every_route(app):
    written = set(re.findall(r"^### `([A-Z]+) (/\S+)`", DOCUMENT, re.MULTILINE))
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith(("pages.", "assets."))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert written == routes
