"""Anything over POP3."""

import base64

from tests import pop3
from tests.company import PASSWORD
from tests.fuzz.inputs import numbered
from tests.fuzz.throwing import throw

SAID = [
    b"STAT\r\nLIST\r\nLIST 1\r\nUIDL\r\nUIDL 2\r\nTOP 1 0\r\nTOP 2 5\r\nRETR 1\r\nNOOP\r\nRSET\r\nCAPA\r\nQUIT\r\n",
    b"CAPA\r\nRETR 3\r\nDELE 3\r\nRSET\r\nLAST\r\nQUIT\r\n",
]


def _sessions(who: str) -> list[bytes]:
    plain = base64.b64encode(f"\0{who}\0{PASSWORD}".encode())
    signing_in = [f"USER {who}\r\nPASS {PASSWORD}\r\n".encode(), b"AUTH PLAIN\r\n" + plain + b"\r\n"]
    return [signed_in + said for signed_in in signing_in for said in SAID]


def test_no_pop3_session_harms_the_server(settings, owners, tmp_path):
    sessions = [_sessions(owner.address) for owner in owners]
    with pop3.running(settings, tmp_path, password_guesses=10_000) as server:
        throw(server, server.address, numbered(*sessions, salt="pop3"), "pop3.failed", '"level": "error"')
