"""The gateway as its clients meet it: Flask's own test client in front of real databases."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from mailrecall import clock
from mailrecall.directory import authentication
from mailrecall.directory.lookup import Account
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings
from tests import dispatch


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who talks to the gateway, signed in or not."""

    app: Flask
    headers: Mapping[str, str]

    def get(self, path: str, **arguments: Any) -> TestResponse:
        return self.ask("GET", path, **arguments)

    def post(self, path: str, **arguments: Any) -> TestResponse:
        return self.ask("POST", path, **arguments)

    def put(self, path: str, **arguments: Any) -> TestResponse:
        return self.ask("PUT", path, **arguments)

    def patch(self, path: str, **arguments: Any) -> TestResponse:
        return self.ask("PATCH", path, **arguments)

    def delete(self, path: str, **arguments: Any) -> TestResponse:
        return self.ask("DELETE", path, **arguments)

    def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **arguments: Any
    ) -> TestResponse:
        """Ask below /api/v1."""
        given = {**self.headers, **(headers or {})}
        return self.app.test_client().open("/api/v1" + path, method=method, headers=given, **arguments)


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway process."""

    process: Process[GatewaySettings]
    app: Flask

    @property
    def databases(self) -> Databases:
        return self.process.databases

    def deliver(self) -> None:
        """Do all work that waits: what was sent lies in its mailboxes, what was recalled is settled."""
        dispatch.run(Process(self.process.settings, self.databases))

    def as_(self, account: Account) -> Client:
        """Sign somebody in."""
        with self.databases.control() as control:
            token = authentication.issue_token(control, account.id, lifetime=timedelta(hours=1), now=clock.now())
        return Client(self.app, {"Authorization": f"Bearer {token}"})

    def as_nobody(self) -> Client:
        """Do not sign in."""
        return Client(self.app, {})


def gateway(settings: Settings, databases: Databases, **changes: object) -> Gateway:
    """Build a gateway on a test's databases."""
    process = Process(GatewaySettings.model_validate({**settings.model_dump(), **changes}), databases)
    return Gateway(process, create_app(process))


def problem(response: TestResponse, status: int, code: str) -> dict[str, Any]:
    """Check that a response is the problem that was expected, in the form of RFC 9457, and return it."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.mimetype == "application/problem+json"
    document: dict[str, Any] = response.get_json()
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"] == f"/api/v1/problems/{code}"
    assert document["title"]
    assert document["detail"]
    assert "Traceback" not in response.get_data(as_text=True)
    return document


def pointers(document: Mapping[str, Any]) -> set[str]:
    """The fields that a problem complains of."""
    return {error["pointer"] for error in document["errors"]}


def example_path(app: Flask, rule: Rule) -> str:
    """An address that a rule takes, with ids of things that are probably not there."""
    converters = {name: type(converter).__name__ for name, converter in rule._converters.items()}
    made_up: dict[str, object] = {
        "CopyIdConverter": 2,
        "DirectoryIdConverter": 2,
        "IndexConverter": 0,
        "UUIDConverter": UUID(int=1),
    }
    values = {name: made_up.get(converters[name], "inbox") for name in rule.arguments}
    path: str = app.url_map.bind("localhost").build(rule.endpoint, values)
    return path
