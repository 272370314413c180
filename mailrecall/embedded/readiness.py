"""Whether the parts of a running stack do their work: asked while it starts and by `mailrecall status`."""

import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

import psycopg
import redis
from kombu.exceptions import OperationalError as BrokerError

from mailrecall.broker import celery_app
from mailrecall.embedded.ports import HOST, Ports
from mailrecall.embedded.processes import BEAT, FLOWER, GATEWAY, IMAP, INTAKE, METRICS, POP3, RELAY, WORKERS
from mailrecall.postgres.databases import connection_options
from mailrecall.settings import Settings

_TIMEOUT = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a process must do to count as ready."""

    process: str
    does: str
    """What is checked, as in "gateway answers"."""
    holds: Callable[[], bool]


def checks(settings: Settings, ports: Ports) -> list[Check]:
    """Return what must hold once everything has started."""
    return [
        Check("postgres", "answers", lambda: _databases_answer(settings)),
        Check("valkey", "answers", lambda: _broker_answers(settings)),
        Check(RELAY, "is connected", lambda: _connected(settings, "mailrecall-relay")),
        *(Check(name, "answers a ping", _pong(settings, name)) for name in WORKERS),
        Check(INTAKE, "greets on SMTP", lambda: _greets(ports.smtp, b"220", b"221")),
        Check(INTAKE, "greets on LMTP", lambda: _greets(ports.lmtp, b"220", b"221")),
        Check(IMAP, "greets", lambda: _greets(ports.imap, b"* OK", b"* BYE", leaving=b"a LOGOUT")),
        Check(POP3, "greets", lambda: _greets(ports.pop3, b"+OK", b"+OK")),
        Check(GATEWAY, "answers", lambda: _serves(ports.gateway, "/healthz")),
        Check(FLOWER, "answers", lambda: _serves(ports.flower, "/healthcheck")),
        Check(METRICS, "answers", lambda: _serves(ports.metrics, "/healthz")),
    ]


UNCHECKED = (BEAT,)
"""Processes that talk to nobody; that they run is all there is to see."""


def _databases_answer(settings: Settings) -> bool:
    try:
        for url in (settings.control_url, *settings.shard_urls):
            with psycopg.connect(url, **connection_options(settings, "status")) as connection:
                connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def _broker_answers(settings: Settings) -> bool:
    try:
        with redis.Redis.from_url(
            settings.broker_url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT
        ) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _connected(settings: Settings, application: str) -> bool:
    try:
        with psycopg.connect(settings.control_url, **connection_options(settings, "status")) as connection:
            query = "SELECT FROM pg_stat_activity WHERE application_name = %s"
            return connection.execute(query, (application,)).rowcount > 0
    except psycopg.Error:
        return False


def _pong(settings: Settings, name: str) -> Callable[[], bool]:
    def answers() -> bool:
        try:
            with celery_app("status", settings) as app:
                replies = app.control.broadcast("ping", reply=True, timeout=_TIMEOUT, pattern=f"{name}@*", limit=1)
        except (BrokerError, OSError, redis.RedisError):
            return False
        return bool(replies)

    return answers


def _greets(port: int, hello: bytes, goodbye: bytes, *, leaving: bytes = b"QUIT") -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=_TIMEOUT) as connection:
            if not connection.recv(512).startswith(hello):
                return False
            connection.sendall(leaving + b"\r\n")
            return connection.recv(512).startswith(goodbye)
    except OSError:
        return False


def _serves(port: int, path: str) -> bool:
    with closing(HTTPConnection(HOST, port, timeout=_TIMEOUT)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200  # noqa: PLR2004 - OK
        except (OSError, HTTPException):
            return False
