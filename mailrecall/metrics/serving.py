"""The port that metrics and health are read from, as a WSGI application: `/metrics`, `/healthz`, `/readyz`.

It is a port of its own, so that whoever reaches the service does not reach these; it bears no secrets and no addresses.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import psycopg
from prometheus_client import CollectorRegistry, make_wsgi_app

from mailrecall import heartbeat, logs
from mailrecall.metrics import sharing
from mailrecall.postgres.databases import connection_options
from mailrecall.settings import Settings

log = logs.get(__name__)

STALE_AFTER = 30.0
"""Seconds without a round after which a process counts as hung, or as cut off from the broker."""

_PATIENCE = 2
"""Seconds for the control database to answer: less than a probe waits."""

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def application(
    settings: Settings, registry: CollectorRegistry | None = None, *, linked: Callable[[], bool] | None = None
) -> Application:
    """Build the application.

    `/healthz` says whether the process is alive, and nothing of servers that are away: starting it again would not
    bring them back. `/readyz` says whether it can do its work now.

    Args:
        settings: where the control database is, which nothing is done without.
        registry: what `/metrics` shows; None: what this process and those that share with it have counted.
        linked: tells whether the process is connected to the broker; None: it needs none.
    """

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/metrics":
                shown: Application = make_wsgi_app(registry or sharing.registry(), disable_compression=True)
                return shown(environ, start_response)
            case "/healthz":
                return _health(start_response)
            case "/readyz":
                return _readiness(start_response, settings, linked)
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"There are /metrics, /healthz and /readyz.\n"]

    return answer


def _health(start_response: StartResponse) -> Iterable[bytes]:
    age = heartbeat.age()
    well = age is not None and age < STALE_AFTER
    body = {"status": "alive" if well else "stale", "seconds_since_round": None if age is None else round(age, 1)}
    return _told(start_response, well, body)


def _readiness(start_response: StartResponse, settings: Settings, linked: Callable[[], bool] | None) -> Iterable[bytes]:
    answers = {"control": _control_answers(settings)} | ({"broker": linked()} if linked else {})
    well = all(answers.values())
    return _told(start_response, well, {"status": "ready" if well else "unavailable", **answers})


def _control_answers(settings: Settings) -> bool:
    impatient = settings.model_copy(update={"connect_timeout": _PATIENCE, "statement_timeout": _PATIENCE})
    try:
        # a connection of its own: a pool that is used up is no outage, and a child's must not be the parent's
        with psycopg.connect(settings.control_url, **connection_options(impatient, "readiness")) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def _told(start_response: StartResponse, well: bool, body: Mapping[str, object]) -> Iterable[bytes]:
    start_response("200 OK" if well else "503 Service Unavailable", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]


class _Server(ThreadingMixIn, WSGIServer):
    """One thread for each request: a slow reader must not keep a probe waiting."""

    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    """Writes no log: who asks does so every few seconds."""

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


def start(
    settings: Settings, registry: CollectorRegistry | None = None, *, linked: Callable[[], bool] | None = None
) -> WSGIServer | None:
    """Serve `application` from a thread, where the settings name an address.

    Raises:
        OSError: it cannot be had.
    """
    if not settings.metrics_bind:
        return None
    host, _, port = settings.metrics_bind.rpartition(":")
    host = host.strip("[]")
    kind = _Server6 if ":" in host else _Server
    server = make_server(
        host, int(port), application(settings, registry, linked=linked), server_class=kind, handler_class=_Quiet
    )
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    log.info("metrics.listening", port=server.server_port)
    return server
