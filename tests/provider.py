"""An OpenID provider of the tests' own: over HTTP, with keys, codes and PKCE, and it can be told to misbehave."""

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from mailrecall import clock
from mailrecall.embedded.ports import HOST

CLIENT_ID = "mail recall"
CLIENT_SECRET = "a secret: 100 % &"


def new_key() -> RSAKey:
    key = RSAKey.generate_key(2048, private=True)
    key.ensure_kid()
    return key


@dataclass
class Provider:
    """The provider, and what it is to do next."""

    issuer: str = ""
    email: object = ""
    """The address of whoever signs in; it asks nobody anything."""
    verified: object = True
    claims: dict[str, Any] = field(default_factory=dict)
    """What ID tokens say otherwise than they should; None: what they leave out."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What it says of itself otherwise."""
    error: str = ""
    """What it sends people back with."""
    algorithm: str = "RS256"
    in_user_info: bool = False
    """Whether the address stands there, and not in the ID token."""
    forgetful: bool = False
    """Whether it has forgotten the code when it is to be exchanged."""
    garbage: bool = False
    """Whether it answers what is no JSON where tokens are given."""
    answers_as: str = ""
    """The `iss` of RFC 9207 that it sends people back with."""
    key: RSAKey = field(default_factory=new_key)
    signing: RSAKey | None = None
    """The key it signs with, if that is not the one it shows."""
    asked: list[dict[str, str]] = field(default_factory=list)
    """What people came with."""
    fetched: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, object]:
        """What the gateway has to know of it."""
        return {"oidc_issuer": self.issuer, "oidc_client_id": CLIENT_ID, "oidc_client_secret": CLIENT_SECRET}

    def authorize(self, asked: dict[str, str]) -> str:
        """Return where to send somebody who comes with these parameters."""
        self.asked.append(asked)
        back = {"state": asked["state"], **({"iss": self.answers_as} if self.answers_as else {})}
        if self.error:
            return asked["redirect_uri"] + "?" + urlencode({**back, "error": self.error, "error_description": "<b>"})
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return asked["redirect_uri"] + "?" + urlencode({**back, "code": code})

    def exchange(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """Answer at the token endpoint."""
        given = f"{form.get('client_id')}:{form.get('client_secret')}"
        if authorization:
            name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            given = f"{unquote_plus(name)}:{unquote_plus(secret)}"
        if given != f"{CLIENT_ID}:{CLIENT_SECRET}":
            return 401, {"error": "invalid_client"}
        asked = None if self.forgetful else self._codes.pop(form["code"], None)
        if asked is None or asked["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        if create_s256_code_challenge(form["code_verifier"]) != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        return 200, {"token_type": "Bearer", "access_token": "access", "id_token": self.id_token(asked["nonce"])}

    def id_token(self, nonce: str) -> str:
        """Say who somebody is."""
        now = int(clock.now().timestamp())
        claims = {"iss": self.issuer, "sub": "17", "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": nonce}
        if not self.in_user_info:
            claims |= self.person()
        said = {name: value for name, value in {**claims, **self.claims}.items() if value is not None}
        if self.algorithm == "none":
            parts = [json.dumps(part).encode() for part in ({"alg": "none"}, said)]
            return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."
        key = self.signing or self.key
        header = {"alg": self.algorithm, "kid": self.key.kid if self.signing else key.kid}
        return jwt.encode(header, said, key, algorithms=[self.algorithm])

    def person(self) -> dict[str, Any]:
        return {"email": self.email, "email_verified": self.verified}

    def document(self, path: str) -> dict[str, Any] | None:
        """Return what anybody can fetch."""
        self.fetched.append(path)
        match path:
            case "/.well-known/openid-configuration":
                places = {
                    "authorization_endpoint": "/authorize",
                    "token_endpoint": "/token",
                    "jwks_uri": "/keys",
                    "userinfo_endpoint": "/me",
                }
                urls = {name: self.issuer + place for name, place in places.items()}
                return {"issuer": self.issuer, **urls, **self.metadata}
            case "/keys":
                # as some do, it shows keys that are no business of ours beside its own
                others = [{"kty": "OKP", "kid": "odd"}, {"kty": "RSA", "use": "enc", "kid": "enc"}, {"kty": "RSA"}]
                return {"keys": [*others, *KeySet([self.key]).as_dict(private=False)["keys"]]}
            case "/me":
                return {"sub": self.claims.get("sub_elsewhere", "17"), **self.person()}
        return None


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        there = urlsplit(self.path)
        if there.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(there.query).items()}
            self.send_response(303)
            self.send_header("Location", self.provider.authorize(asked))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        found = self.provider.document(there.path)
        self._answer(404 if found is None else 200, found or {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self._answer(*self.provider.exchange(form, self.headers.get("Authorization", "")))

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        garbage = self.provider.garbage and "access_token" in document
        content = b"<html>" if garbage else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def running(provider: Provider | None = None, port: int = 0) -> Iterator[Provider]:
    """Run a provider until the block ends."""
    provider = provider or Provider()
    handler = type("Handler", (_Handler,), {"provider": provider})
    with ThreadingHTTPServer((HOST, port), handler) as server:
        provider.issuer = f"http://{HOST}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
