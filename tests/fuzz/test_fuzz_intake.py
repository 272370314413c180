"""Anything over submission and LMTP: no failure of ours, no end of an answer that does not come, no growth."""

import base64
from collections.abc import Iterator

import pytest

from tests.company import PASSWORD
from tests.fuzz.inputs import MESSAGES, numbered
from tests.fuzz.throwing import throw
from tests.intake import Intake, running

FAILURES = ("intake.failed", "intake.not_storable", '"level": "error"')


@pytest.fixture(scope="module")
def intake(settings, tmp_path_factory) -> Iterator[Intake]:
    # what is thrown leaves connections half-said: they end soon
    with running(settings, tmp_path_factory.mktemp("intake"), idle_timeout=5, password_guesses=10_000) as server:
        yield server


def _dot_stuffed(content: bytes) -> bytes:
    return content.replace(b"\n.", b"\n..") + b"\r\n.\r\n"


def _sessions(greeting: bytes, sender: bytes, recipients: list[bytes]) -> Iterator[bytes]:
    for content in MESSAGES:
        yield b"".join(
            [
                greeting + b"\r\nMAIL FROM:<" + sender + b"> SIZE=100 BODY=8BITMIME SMTPUTF8\r\n",
                *(b"RCPT TO:<" + recipient + b">\r\n" for recipient in recipients),
                b"DATA\r\n" + _dot_stuffed(content) + b"RSET\r\nNOOP\r\nVRFY x\r\nHELP\r\nQUIT\r\n",
            ]
        )


def test_no_lmtp_session_harms_the_intake(intake, firm):
    recipients = [firm.people[0].address.encode(), firm.people[1].address.encode(), b"nobody@elsewhere.example"]
    sessions = list(_sessions(b"LHLO fuzz.example", b"someone@elsewhere.example", recipients))
    throw(intake, intake.lmtp, numbered(sessions, salt="lmtp"), *FAILURES)


def test_no_submission_harms_the_intake(intake, firm):
    who = firm.people[0].address
    plain = base64.b64encode(f"\0{who}\0{PASSWORD}".encode())
    greeting = b"EHLO fuzz.example\r\nAUTH PLAIN " + plain
    sessions = list(_sessions(greeting, who.encode(), [firm.people[1].address.encode()]))
    throw(intake, intake.smtp, numbered(sessions, salt="submission"), *FAILURES)
