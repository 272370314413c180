"""R23: an error that nobody foresaw in the middle of a session: what the client is told, and what the log is."""

import asyncio

import pytest
import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailrecall.postgres.databases import Databases
from services.delivery.intake.desk import Desk
from services.delivery.intake.handlers import IntakeEnvelope
from services.delivery.intake.lmtp import LmtpHandler, LmtpProtocol
from services.delivery.intake.protocol import TEMPORARY, Connections
from services.delivery.intake.settings import IntakeSettings

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
SETTINGS = IntakeSettings.model_validate(
    {"control_url": NOWHERE, "shard_urls": NOWHERE, "broker_url": "redis://127.0.0.1:1/0"}
)


class Faulty(LmtpHandler):
    """A handler with a bug in one of its commands."""

    def __init__(self, command: str) -> None:
        super().__init__(Desk(Databases(SETTINGS, "tests"), SETTINGS), SETTINGS)
        self.command = command

    def fail_at(self, command: str) -> None:
        if command == self.command:
            raise ValueError("secret@company.example is not what this expected")

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name for it
        self, _server: SMTP, _session: Session, envelope: IntakeEnvelope, address: str, _options: list[str]
    ) -> str:
        self.fail_at("RCPT")
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient accepted"

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802
        self.fail_at("DATA")
        return "250 2.0.0 Accepted"


MESSAGE = b"LHLO client\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<secret@company.example>\r\nDATA\r\nHi\r\n.\r\n"


async def last_reply(handler: LmtpHandler, said: bytes = MESSAGE) -> str:
    """Say something; return the first reply to it that refuses or takes a message."""
    connections = Connections(10)
    server = await asyncio.get_running_loop().create_server(
        lambda: LmtpProtocol(handler, SETTINGS, connections), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(said)
    lines: list[bytes] = []
    async with asyncio.timeout(10):
        while not (lines and lines[-1].startswith((b"250 2.0.0", b"4", b"5"))):
            lines.append(await reader.readline())
    writer.close()
    server.close()
    await connections.stop(1)
    return lines[-1].decode().strip()


@pytest.mark.rule(23)
@pytest.mark.parametrize("command", ["RCPT", "DATA"])
def test_r23_an_unforeseen_error_is_logged_by_kind_and_place_and_never_by_its_text(command):
    with structlog.testing.capture_logs() as lines:
        reply = asyncio.run(last_reply(Faulty(command)))

    assert reply == TEMPORARY
    (line,) = [line for line in lines if line["event"] == "intake.failed"]
    assert line["failure"] == "ValueError"
    assert "fail_at" in str(line["places"])
    assert not any(isinstance(value, BaseException) for value in line.values())
    assert "secret" not in str(lines)


def test_a_message_is_taken_where_nothing_fails():
    assert asyncio.run(last_reply(Faulty("none"))).startswith("250 2.0.0")


MALFORMED = [
    b"<@",
    b"<@a.example,@b.example:",
    b'<"a"@[',
    b'<"a b"@[1.2.3.4>',
    b"<",
    b"(" * 990,
    b"<\xf8@" + b"(" * 900,
]


@pytest.mark.parametrize("command", [b"MAIL FROM:", b"MAIL FROM:<>\r\nRCPT TO:", b"VRFY "])
@pytest.mark.parametrize("address", MALFORMED)
def test_what_is_no_address_is_refused_for_good_and_no_failure_of_ours(command, address):
    with structlog.testing.capture_logs() as lines:
        reply = asyncio.run(last_reply(Faulty("none"), b"LHLO client\r\n" + command + address + b"\r\n"))

    assert reply.startswith("5")
    assert [line for line in lines if line["event"] == "intake.failed"] == []


def test_a_reply_that_repeats_octets_which_are_no_text_is_sent_all_the_same():
    reply = asyncio.run(last_reply(Faulty("none"), b"LHLO client\r\nVRFY (\xff\xfe\r\n"))
    assert reply.startswith("502 5.5.1 Could not VRFY (")
