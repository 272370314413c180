"""SMTP smuggling: a message ends at CRLF.CRLF and at nothing else, or one sender could speak as another.

What stands between is kept as it came; what goes on to another host has no bare CR or LF left (test_intake_relaying).
"""

import base64

import pytest

from mailrecall.postgres.databases import Databases
from tests.company import PASSWORD, Company
from tests.intake import Client, Intake, count, stored

HEAD = b"From: me@here.example\r\nSubject: One message\r\nDate: x\r\nMessage-ID: <one@x>\r\n\r\nfirst part"

ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r.\r",
    b"\r.\r\n",
    b"\r.\n",
    b"\n.\r",
    b"\n\n.\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\n. \r\n",
    b"\r\n.\r\r\n",
]


def unstuffed(octets: bytes) -> bytes:
    """What a message is once its lines, which end at CRLF only, have lost their first dot (RFC 5321 section 4.5.2)."""
    return b"\r\n".join(line.removeprefix(b".") for line in octets.split(b"\r\n"))


@pytest.mark.parametrize("end", ENDS, ids=repr)
@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
def test_nothing_else_ends_a_message(protocol: str, end: bytes, intake: Intake, company: Company, databases: Databases):
    sender, victim = company.people
    smuggled = b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: Smuggled\r\n\r\nnot mine" % (
        victim.address.encode(),
        sender.address.encode(),
    )
    before = count(databases)
    with Client(getattr(intake, protocol)) as client:
        if protocol == "smtp":
            client.ask("EHLO laptop")
            credentials = base64.b64encode(f"\0{sender.address}\0{PASSWORD}".encode()).decode()
            assert client.ask(f"AUTH PLAIN {credentials}").startswith("235")
        else:
            client.ask("LHLO relay")
        assert client.ask(f"MAIL FROM:<{sender.address}>").startswith("250")
        assert client.ask(f"RCPT TO:<{victim.address}>").startswith("250")
        assert client.ask("DATA").startswith("354")
        client.send(HEAD + end + smuggled + b"\r\n.\r\n")
        reply = client.reply()
        assert reply.startswith("250 2.0.0 Accepted as ")
        assert client.ask("QUIT").startswith("221"), "no other reply is left over"
    assert count(databases) == before + 1
    message = stored(databases, int(reply.rsplit(" ", 1)[1]))
    assert message.subject == "One message"
    assert message.content.endswith(unstuffed(HEAD + end + smuggled) + b"\r\n")


@pytest.mark.parametrize("cut", range(1, 6))
def test_an_end_that_arrives_in_pieces_is_an_end(cut: int, intake: Intake, company: Company, databases: Databases):
    octets = HEAD + b"\r\n.\r\n"
    with Client(intake.lmtp) as client:
        client.ask("LHLO relay")
        client.ask("MAIL FROM:<me@here.example>")
        client.ask(f"RCPT TO:<{company.people[0].address}>")
        client.ask("DATA")
        client.send(octets[:-cut])
        assert client.silent(), "what was sent so far is read, and is no end"
        client.send(octets[-cut:])
        reply = client.reply()
    assert stored(databases, int(reply.rsplit(" ", 1)[1])).content.endswith(HEAD + b"\r\n")


@pytest.mark.parametrize("length", [998, 1000, 1001, 1002, 1003, 2004, 3006, 70_000])
def test_the_rest_of_a_long_line_is_no_end(length: int, intake: Intake, company: Company, databases: Databases):
    """A line longer than what is read at once must not look as if its last piece were a line of its own."""
    before = count(databases)
    with Client(intake.lmtp) as client:
        client.ask("LHLO relay")
        client.ask("MAIL FROM:<me@here.example>")
        client.ask(f"RCPT TO:<{company.people[0].address}>")
        client.ask("DATA")
        client.send(b"x" * length + b".\r\n" + b"RSET\r\n" + b".\r\n")
        assert client.reply().startswith("554 5.6.0")
        assert client.ask("NOOP").startswith("250")
    assert count(databases) == before
