"""Anything over HTTP: no answer of 500 or more, and the gateway goes on."""

import base64
import json
import socket
from concurrent.futures import ThreadPoolExecutor

from mailrecall.embedded.ports import HOST, free_ports
from tests import listening
from tests.company import PASSWORD
from tests.fuzz.inputs import numbered, rounds
from tests.fuzz.throwing import AT_ONCE, Observer
from tests.listening import PATIENCE


def _request(method: str, path: str, who: str, body: object = None) -> bytes:
    content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
    login = base64.b64encode(f"{who}:{PASSWORD}".encode()).decode()
    head = [
        *(f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Basic {login}", "Connection: close"),
        *([f"Content-Type: application/json\r\nContent-Length: {len(content)}"] if content else []),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


def _requests(who: str, other: str) -> list[bytes]:
    attachment = {"filename": "图.pdf", "content_type": "application/pdf", "content": "JVBERi0xLjQK"}
    message = {"to": [other], "cc": [who], "subject": "Figures", "text": "Hello", "html": "<p>Hello</p>", "delay": 0}
    return [
        _request("POST", "/api/v1/messages", who, {**message, "attachments": [attachment]}),
        _request("POST", "/api/v1/recalls", who, {"message_id": 3, "reason": "Wrong group"}),
        _request("GET", "/api/v1/folders/inbox/messages?limit=5&cursor=abc", who),
        _request("GET", "/api/v1/messages/2", who),
        _request("GET", "/api/v1/messages/2/attachments/0", who),
        _request("PATCH", "/api/v1/messages/2", who, {"unread": True, "folder": "archive"}),
        _request("POST", "/api/v1/messages/2/forward", who, {"to": [other], "comment": "See below"}),
        _request("POST", "/api/v1/drafts", who, {**message, "attachments": []}),
        _request("GET", "/api/v1/recalls/7c0f5a1e-6a55-4d1c-9f5e-0d7f2f6b1c11", who),
        _request("GET", "/api/v1/admin/messages?subject=a&since=2026-03-01&zone=Asia/Shanghai&only_unread=true", who),
        _request("GET", "/sign-in?next=/mail/inbox", who),
        _request("GET", "/help", who),
    ]


def test_no_request_is_answered_with_a_failure(settings, firm, tmp_path):
    (port,) = free_ports(1)
    requests = _requests(firm.postmaster.address, firm.people[1].address)
    # no answer of 429 is to hide one of 500
    unlimited = {"password_guesses": 10_000, "rate_limit_account": "", "rate_limit_address": ""}
    variables = listening.environment(settings, gateway_bind=f"{HOST}:{port}", gateway_workers=1, **unlimited)
    command = ["--config=python:services.gateway.gunicorn_conf", "services.gateway.wsgi:application"]
    with listening.listening(
        "gunicorn", variables, tmp_path / "gateway.log", (HOST, port), arguments=command
    ) as server:
        observer = Observer(server, "request.failed")
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for some in rounds(numbered(requests, salt="http")):
                answers = threads.map(lambda octets: (octets, _answer(port, octets)), some)
                assert [(answer[:40], octets) for octets, answer in answers if _is_failure(answer)] == []
                observer.look()


def _is_failure(answer: bytes) -> bool:
    # what the server does not know how to do at all is none, nor that too many ask at a time, if it says to come back
    come_back = answer.startswith(b"HTTP/1.1 503") and b"\r\nretry-after:" in answer.lower()
    return answer[9:10] == b"5" and not answer.startswith(b"HTTP/1.1 501") and not come_back


def _answer(port: int, octets: bytes) -> bytes:
    answer = b""
    try:
        with socket.create_connection((HOST, port), timeout=PATIENCE) as connection:
            connection.sendall(octets)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                answer += part
    except ConnectionError:
        pass  # refused before everything was sent
    return answer
