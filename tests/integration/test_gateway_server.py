"""The gateway as it is run: gunicorn, over a socket."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.ports import free_ports
from tests import company

COMMAND = [
    sys.executable,
    "-m",
    "gunicorn",
    "--config=python:services.gateway.gunicorn_conf",
    "services.gateway.wsgi:application",
]


def environment(settings, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "MAILRECALL_CONTROL_URL": settings.control_url,
        "MAILRECALL_SHARD_URLS": " ".join(settings.shard_urls),
        "MAILRECALL_BROKER_URL": settings.broker_url,
        "MAILRECALL_GATEWAY_WORKERS": "1",
        **more,
    }


@contextmanager
def running(environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(COMMAND, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def basic(address: str) -> str:
    return "Basic " + base64.b64encode(f"{address}:{company.PASSWORD}".encode()).decode()


def ask(connection: http.client.HTTPConnection, method: str, path: str, **arguments) -> tuple[int, Any]:
    connection.request(method, path, **arguments)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_it_serves_refuses_what_is_too_large_and_ends_when_told_to(settings, databases):
    person = company.found(databases, people=1).people[0]
    (port,) = free_ports(1)
    more = {"MAILRECALL_GATEWAY_BIND": f"127.0.0.1:{port}", "MAILRECALL_MAX_UPLOAD": "4096"}
    with running(environment(settings, **more)) as process:
        assert poll(lambda: answers(port) or process.poll() is not None, timeout=60)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        assert ask(connection, "GET", "/healthz") == (200, {"status": "alive"})
        assert ask(connection, "GET", "/readyz")[0] == 200
        status, problem = ask(connection, "GET", "/api/v1/account")
        assert (status, problem["code"]) == (401, "not_authenticated")
        connection.close()

        # the size is refused whether it is declared or comes in chunks
        for chunked in (False, True):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            status, problem = ask(
                connection,
                "POST",
                "/api/v1/messages",
                body=iter([b"x" * 1000] * 6) if chunked else b"x" * 6000,
                headers={"Content-Type": "application/json", "Authorization": basic(person.address)},
                encode_chunked=chunked,
            )
            assert (status, problem["code"]) == (413, "too_large")
            connection.close()

        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    events = [json.loads(line) for line in log.splitlines()]
    assert [event["status"] for event in events if event["event"] == "http.request"] == [200, 200, 401, 413, 413]
    assert "@" not in log
    # the pools are closed while their threads can still end, which they cannot in a Python 3.13 that ends itself
    assert [event for event in events if event["logger"] == "psycopg.pool"] == []


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("MAILRECALL_GATEWAY_BIND", "8080", "must be host:port"),
        ("MAILRECALL_TOKEN_LIFETIME", "0", "greater than or equal to 60"),
        ("MAILRECALL_RATE_LIMIT_ACCOUNT", "many", "must be a limit such as 600/minute"),
        ("MAILRECALL_RATE_LIMIT_ADDRESS", "0/minute", "must be a limit such as 600/minute"),
        ("MAILRECALL_RATE_LIMIT_URL", "memory://", "must be a redis://, rediss:// or sentinel:// URL"),
        ("MAILRECALL_CONTROL_URL", "sqlite://", "must be a postgresql:// URL"),
    ],
)
def test_bad_settings_end_it_at_once_with_clear_words(settings, variable, value, words):
    with running(environment(settings, **{variable: value})) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert variable in said
    assert words in said
    assert "Traceback" not in said
