"""Somebody who uses the pages, without a browser: keeps cookies, reads the token out of the pages, sends forms."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests import company

_TOKEN = re.compile(r'name="csrf_token" value="([0-9a-f]{64})"')


@dataclass(slots=True)
class Visitor:
    """One browser's worth of cookies."""

    app: Flask
    https: bool = False
    language: str = "en"
    client: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> TestResponse:
        # buffered: a file that is served is closed again
        return self.client.get(path, headers=self._headers(headers), base_url=self._base, buffered=True)

    def post(
        self, path: str, form: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        """Send a form as it stands: without a token."""
        return self.client.post(path, data=form or {}, headers=self._headers(headers), base_url=self._base)

    def submit(
        self, path: str, form: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        """Send a form of a page: with the token."""
        return self.post(path, {"csrf_token": self.token(), **(form or {})}, headers)

    def token(self) -> str:
        """The token that forms bear at the moment."""
        found = _TOKEN.search(self.get("/help").get_data(as_text=True))
        assert found is not None
        return found[1]

    def sign_in(self, address: str, password: str = company.PASSWORD, **fields: str) -> TestResponse:
        """Send the sign-in form."""
        return self.submit("/sign-in", {"address": address, "password": password, **fields})

    @property
    def _base(self) -> str:
        return "https://localhost" if self.https else "http://localhost"

    def _headers(self, given: Mapping[str, str] | None) -> dict[str, str]:
        return {"Accept": "text/html", "Accept-Language": self.language, **(given or {})}
