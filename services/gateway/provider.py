"""An OpenID provider that vouches for people (OpenID Connect Core 1.0, code flow with PKCE), as the settings name one.

What it says of itself and its keys are fetched when they are first needed, and kept for an hour: the gateway starts
without it. It is asked server to server over TLS; whatever it answers, the worst is that somebody does not sign in.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import Lock
from time import monotonic
from typing import Any, Final
from urllib.parse import quote_plus

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import Key, KeySet, import_key
from joserfc.jws import JWSRegistry

from mailrecall import logs
from mailrecall.directory.provider_sign_ins import Begun, Taken
from services.gateway.settings import GatewaySettings

log = logs.get(__name__)

EXTENSION: Final = "mailrecall.provider"

_PATIENCE: Final = 5.0
"""Seconds that each answer of the provider may take."""
_PAUSE: Final = 5.0
"""Seconds for which a provider that did not answer is not asked again: one waits for it, not everybody."""
_TURN: Final = 1.0
"""Seconds that others wait while one asks it what it says of itself."""
_KEPT: Final = 3600.0
"""Seconds for which its metadata and keys are kept; keys that it has changed meanwhile are noticed at once."""
_LEEWAY: Final = 60
"""Seconds that its clock may be off."""
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures that only the provider can make: neither `none` nor those by a shared secret."""
_NEEDED: Final = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
_NAMES_ITSELF: Final = "authorization_response_iss_parameter_supported"
_BAD_ANSWERS = (JoseError, AuthlibBaseError, ValueError, TypeError, KeyError, AttributeError)
"""How the libraries complain of an answer that is not what it should be."""


class Reason(StrEnum):
    """Why somebody is not signed in."""

    AWAY = "away"
    """The provider does not answer, or says nothing of use."""
    DENIED = "denied"
    """It did not let them in, or they did not want to."""
    STALE = "stale"
    """The sign-in has expired, was finished before, or began in another browser."""
    UNTRUSTED = "untrusted"
    """What it said cannot be believed."""
    UNKNOWN = "unknown"
    """It vouches for nobody who has an open account here."""


class ProviderError(Exception):
    """Ends a sign-in."""

    def __init__(self, reason: Reason, cause: str = "") -> None:
        """Say why; `cause` is for the log, and constant."""
        super().__init__(reason)
        self.reason = reason
        self.cause = cause


@dataclass(frozen=True, slots=True)
class _Known:
    """What the provider has said of itself."""

    metadata: Mapping[str, Any]
    keys: Sequence[Key]
    until: float


class Provider:
    """The provider of one process of the gateway."""

    def __init__(self, settings: GatewaySettings, redirect_uri: str) -> None:
        """Ask nothing yet."""
        self._issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        self._client_secret = settings.oidc_client_secret
        # redirections are not followed: no answer of the provider's leads elsewhere
        self._http = httpx.Client(timeout=_PATIENCE, follow_redirects=False)
        self._redirect_uri = redirect_uri
        self._known: _Known | None = None
        self._away_until = 0.0
        self._asking = Lock()

    def address_to_go_to(self, begun: Begun, *, ask_again: bool) -> str:
        """Return where to send somebody to sign in.

        Args:
            begun: their sign-in.
            ask_again: whether the provider is to ask who they are even if it knows.

        Raises:
            ProviderError: it is away.
        """
        endpoint = self._look_up().metadata["authorization_endpoint"]
        prompt = {"prompt": "login"} if ask_again else {}
        url, _state = self._client().create_authorization_url(
            endpoint, state=begun.state, code_verifier=begun.verifier, nonce=begun.nonce, **prompt
        )
        return str(url)

    def verified_address(self, answer: Mapping[str, str], taken: Taken, *, now: datetime) -> str:
        """Return the mail address that the provider has verified to be of whoever comes back.

        Args:
            answer: what they bring from it.
            taken: their sign-in.
            now: the moment.

        Raises:
            ProviderError: it is away, cannot be believed, or has verified none.
        """
        known = self._look_up()
        # RFC 9207: an answer of another provider's
        named = answer.get("iss", self._issuer if not known.metadata.get(_NAMES_ITSELF) else "")
        if named != self._issuer:
            raise ProviderError(Reason.UNTRUSTED, "another_issuer")
        token = self._exchange(known, answer.get("code", ""), taken)
        claims = self._claims(known, token, taken, now)
        if "email" not in claims and known.metadata.get("userinfo_endpoint"):
            claims = self._user_info(known, token, claims)
        address = claims.get("email")
        if not isinstance(address, str) or claims.get("email_verified") is not True:
            raise ProviderError(Reason.UNKNOWN, "no_verified_address")
        return address

    def _client(self) -> OAuth2Client:
        """Return the library's client; one for each use, since it keeps the token that it got last."""
        return OAuth2Client(
            self._http,
            client_id=self._client_id,
            scope="openid email",
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
        )

    def _exchange(self, known: _Known, code: str, taken: Taken) -> Mapping[str, Any]:
        """Exchange a code for tokens (RFC 6749 section 4.1.3)."""
        supported = known.metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if "client_secret_basic" in supported:
            # RFC 6749 section 2.3.1 has both encoded
            basic = httpx.BasicAuth(quote_plus(self._client_id), quote_plus(self._client_secret))
            given: dict[str, Any] = {"auth": basic}
        else:
            # an authentication that adds nothing: the secret goes in the body
            body = {"client_id": self._client_id, "client_secret": self._client_secret}
            given = {"auth": httpx.Auth(), **body}
        try:
            with self._answering():
                token = self._client().fetch_token(
                    known.metadata["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=taken.verifier,
                    **given,
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProviderError(Reason.AWAY, logs.kind_of(error)) from None
        except AuthlibBaseError as error:
            # RFC 6749 section 5.2: the code has expired or was used; all else is a fault of the settings
            stale = error.error == "invalid_grant"
            raise ProviderError(Reason.STALE if stale else Reason.UNTRUSTED, "code_refused") from None
        except _BAD_ANSWERS as error:
            raise ProviderError(Reason.AWAY, logs.kind_of(error)) from None
        return dict(token)

    def _claims(self, known: _Known, token: Mapping[str, Any], taken: Taken, now: datetime) -> Mapping[str, Any]:
        """Return what the ID token says, once it is known to be right (OpenID Connect Core 1.0 section 3.1.3.7)."""
        given = token.get("id_token")
        if not isinstance(given, str):
            raise ProviderError(Reason.UNTRUSTED, "no_id_token")
        try:
            try:
                decoded = self._decoded(given, known)
            except InvalidKeyIdError:
                # it has new keys
                decoded = self._decoded(given, self._look_up(anew=True))
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {
                    "iss": {"essential": True, "value": self._issuer},
                    "aud": {"essential": True, "value": self._client_id},
                    "sub": {"essential": True},
                },
                {"nonce": taken.nonce, "client_id": self._client_id, "access_token": token.get("access_token")},
            )
            claims.validate(now=int(now.timestamp()), leeway=_LEEWAY)
        except _BAD_ANSWERS as error:
            raise ProviderError(Reason.UNTRUSTED, logs.kind_of(error)) from None
        return dict(claims)

    @staticmethod
    def _decoded(given: str, known: _Known) -> jwt.Token:
        registry = JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)
        return jwt.decode(given, KeySet(list(known.keys)), registry=registry)

    def _user_info(self, known: _Known, token: Mapping[str, Any], claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what the provider says elsewhere of the same person (OpenID Connect Core 1.0 section 5.3.2)."""
        bearer = {"Authorization": f"Bearer {token.get('access_token', '')}"}
        found = self._fetched(known.metadata["userinfo_endpoint"], bearer)
        if found.get("sub") != claims["sub"]:
            raise ProviderError(Reason.UNTRUSTED, "another_subject")
        return found

    def _look_up(self, *, anew: bool = False) -> _Known:
        """Return what the provider says of itself: as it was, or fetched."""
        known = self._known
        if known and not anew and monotonic() < known.until:
            return known
        # one asks, others wait for its answer; not for long, or a provider that hangs takes all threads
        if not self._asking.acquire(timeout=_TURN):
            raise ProviderError(Reason.AWAY, "being_asked")
        try:
            if self._known is not known and self._known is not None:
                return self._known
            if monotonic() < self._away_until:
                raise ProviderError(Reason.AWAY, "was_away")
            try:
                self._known = self._ask()
            except ProviderError:
                self._away_until = monotonic() + _PAUSE
                raise
            return self._known
        finally:
            self._asking.release()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Ask it nothing while it is away, and notice when it is."""
        if monotonic() < self._away_until:
            raise ProviderError(Reason.AWAY, "was_away")
        try:
            yield
        except httpx.TransportError:
            self._away_until = monotonic() + _PAUSE
            raise

    def _ask(self) -> _Known:
        metadata = self._fetched(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        if not all(isinstance(metadata.get(name), str) for name in _NEEDED):
            raise ProviderError(Reason.AWAY, "incomplete_metadata")
        if metadata["issuer"] != self._issuer:
            # OpenID Connect Discovery 1.0 section 4.3
            raise ProviderError(Reason.UNTRUSTED, "another_issuer")
        return _Known(metadata, _keys(self._fetched(metadata["jwks_uri"])), monotonic() + _KEPT)

    def _fetched(self, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        try:
            with self._answering():
                answer = self._http.get(url, headers=headers)
            answer.raise_for_status()
            found = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ProviderError(Reason.AWAY, logs.kind_of(error)) from None
        if not isinstance(found, dict):
            raise ProviderError(Reason.AWAY, "no_object")
        return found


def _keys(found: Mapping[str, Any]) -> list[Key]:
    """Return the keys that signatures can be of; those of kinds that we do not know are for others."""
    keys = []
    given = found.get("keys")
    for one in given if isinstance(given, list) else []:
        try:
            if one.get("use", "sig") == "sig" and one.get("kty") in ("RSA", "EC"):
                keys.append(import_key(one))
        except _BAD_ANSWERS:
            log.warning("provider.key_unusable")
    if not keys:
        raise ProviderError(Reason.AWAY, "no_keys")
    return keys
