"""Nobody keeps the gateway from others: requests are counted in Redis, by account, or by origin where nobody signs in.

A request counts once it is known whose it is; one that shows no valid password, token or session counts for the network
address it comes from, which is the one that wrong passwords count for (`mailrecall.directory.guessing`). Programs and
pages count apart, so that a program that runs wild takes nobody's webmail away. While Redis is away all requests pass.

The answers say how much is left (draft-ietf-httpapi-ratelimit-headers).
"""

import hashlib
from collections.abc import Callable, Mapping
from math import ceil
from time import monotonic
from typing import Any, Final, TypeVar, cast
from urllib.parse import unquote, urlsplit

from flask import Flask, Response, current_app, g, request
from flask_limiter import Limiter, RateLimitExceeded, RequestLimit
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from mailrecall import clock, logs
from mailrecall.directory import guessing
from mailrecall.metrics import instruments
from services.gateway.current import account
from services.gateway.problems import Code, Problem
from services.gateway.settings import GatewaySettings

log = logs.get(__name__)

EXTENSION: Final = "mailrecall.limits"

View = TypeVar("View", bound=Callable[..., Any])

_PATIENCE: Final = 0.5
"""Seconds that a request waits for Redis at most: to count is worth no more."""
_PAUSE: Final = 5.0
"""Seconds for which Redis is left alone after it did not answer."""

_EXEMPT: set[Callable[..., Any]] = set()


def exempt(view: View) -> View:
    """Declare that a route is bounded otherwise, as live views are by `gateway_streams`, and counts for nobody."""
    _EXEMPT.add(view)
    return view


class Limits:
    """The limits of one process of the gateway."""

    def __init__(self, app: Flask, settings: GatewaySettings) -> None:
        """Watch an application; nothing is asked of Redis yet."""
        self._resume_at = 0.0
        self._away = False
        limits = {"account": settings.rate_limit_account, "address": settings.rate_limit_address}
        where = storage(settings)
        self._limiter: Limiter | None = None
        self._counting: dict[str, Callable[[], None]] = {}
        if where and any(limits.values()):
            uri, options = where
            limiter = self._limiter = Limiter(
                lambda: str(g.counted_for),
                app=app,
                storage_uri=uri,
                storage_options=cast("dict[str, str | int]", options),
                strategy="fixed-window",
                headers_enabled=False,
                key_prefix="mailrecall",
            )
            # the library looks at every request at its beginning: nothing counts before `count` says whose it is
            limiter.request_filter(lambda: "counted_for" not in g)
            for kind, given in limits.items():
                if given:
                    limit = limiter.shared_limit(given, scope=kind, exempt_when=_is_not(kind))
                    self._counting[kind] = limit(_COUNTED[kind])
        elif any(limits.values()):
            log.warning("gateway.limits_without_redis")

    def count(self, kind: str, whose: str) -> None:
        """Count the request at hand.

        Raises:
            Problem: 429, if there were too many.
        """
        limiter, counting = self._limiter, self._counting.get(kind)
        if not limiter or not counting or current_app.view_functions.get(request.endpoint or "") in _EXEMPT:
            return
        if monotonic() < self._resume_at:
            instruments.request_uncounted()
            return
        g.limited_by, g.counted_for = kind, whose
        try:
            refused = _check(limiter, counting)
        except RedisError as error:
            self._lose(error)
            return
        if self._away:
            self._away = False
            log.info("gateway.limits_back")
        if refused:
            log.warning("gateway.rate_limited", by=kind)
            raise Problem(
                Code.RATE_LIMITED,
                f"There were too many requests; try again in {refused} seconds.",
                headers={"Retry-After": str(refused)},
            )

    def _lose(self, error: RedisError) -> None:
        self._resume_at = monotonic() + _PAUSE
        instruments.request_uncounted()
        if not self._away:
            # once for each outage, not for each request
            self._away = True
            log.warning("gateway.limits_away", failure=type(error).__name__)


def register(app: Flask, settings: GatewaySettings) -> None:
    """Prepare an application for counting; its answers say how much is left."""
    app.extensions[EXTENSION] = Limits(app, settings)

    @app.after_request
    def tell(response: Response) -> Response:
        response.headers.update(g.get("limit_headers", {}))
        return response


def count_account() -> None:
    """Count a request to the API for the account that is signed in.

    Raises:
        Problem: 429, if there were too many.
    """
    _limits().count("account", f"account:{account().id}")


def count_page() -> None:
    """Count a request for a page: for the account of its session, else for where it comes from.

    Raises:
        Problem: 429, if there were too many.
    """
    if g.get("session") is None:
        count_origin()
    else:
        _limits().count("account", f"pages:{account().id}")


def count_origin() -> None:
    """Count a request of nobody's for the network address that it comes from.

    Raises:
        Problem: 429, if there were too many.
    """
    # as with wrong passwords, what is stored of an address is its digest
    digest = hashlib.sha256(guessing.place_of(request.remote_addr or "").encode()).hexdigest()[:32]
    _limits().count("address", f"address:{digest}")


def storage(settings: GatewaySettings) -> tuple[str, Mapping[str, Any]] | None:
    """Return where to count, as the library wants it told, with options; None where there is no Redis."""
    url = settings.rate_limit_url or settings.broker_url
    options: dict[str, Any] = {
        "socket_timeout": _PATIENCE,
        "socket_connect_timeout": _PATIENCE,
        "retry": Retry(NoBackoff(), 0),
    }
    if url.startswith(("redis://", "rediss://")):
        return url, options
    if not url.startswith("sentinel://"):
        return None
    # Celery names each Sentinel in a URL of its own, the library all of them in one
    sentinels = [urlsplit(one) for one in url.split(";")]
    hosts = ",".join(f"{one.hostname}:{one.port or 26379}" for one in sentinels)
    if sentinels[0].password:
        options["password"] = unquote(sentinels[0].password)
    return f"redis+sentinel://{hosts}/{settings.sentinel_master}", {
        **options,
        # what a replica knows is old
        "use_replicas": False,
        "sentinel_kwargs": {**options, "password": settings.sentinel_password or None},
    }


def _limits() -> Limits:
    return cast("Limits", current_app.extensions[EXTENSION])


def _account() -> None:
    """Stand for a request of an account's: what the library counts is calls of functions."""


def _address() -> None:
    """Stand for a request of nobody's."""


_COUNTED: Final[Mapping[str, Callable[[], None]]] = {"account": _account, "address": _address}


def _is_not(kind: str) -> Callable[[], bool]:
    return lambda: bool(g.limited_by != kind)


def _check(limiter: Limiter, counting: Callable[[], None]) -> int:
    """Count, and note what is left; return after how many seconds to try again, 0: there is no need to.

    Raises:
        RedisError: it did not answer.
    """
    try:
        counting()
    except RateLimitExceeded:
        return _note(limiter)
    _note(limiter)
    return 0


def _note(limiter: Limiter) -> int:
    """Note what the answer says of the narrowest limit; return the seconds until it begins anew."""
    current: RequestLimit | None = limiter.current_limit
    if current is None:
        return 0
    anew = max(1, ceil(current.reset_at - clock.now().timestamp()))
    name, most, window = g.limited_by, current.limit.amount, current.limit.get_expiry()
    g.limit_headers = {
        "RateLimit-Policy": f'"{name}";q={most};w={window}',
        "RateLimit": f'"{name}";r={current.remaining};t={anew}',
    }
    return anew
