"""Trace fields and bounces."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

import pytest

from mailrecall.mime import trace
from mailrecall.mime.bounce import MOST_LISTED, Undelivered, bounce

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def received(client_name: str = "relay.example.net", client_address: str = "192.0.2.1") -> bytes:
    return trace.received(
        client_name=client_name,
        client_address=client_address,
        hostname="mx.example.org",
        protocol=trace.Protocol.LMTP,
        identifier="abc",
        now=NOW,
    )


def test_a_received_field():
    assert received() == (
        b"Received: from relay.example.net ([192.0.2.1])\r\n"
        b"\tby mx.example.org with LMTP id abc;\r\n"
        b"\tMon, 02 Mar 2026 09:00:00 +0000\r\n"
    )
    assert b"([IPv6:2001:db8::1])" in received(client_address="2001:db8::1")


@pytest.mark.parametrize("name", ["a\r\nX-Forged: yes", "a b", "", "(", "x" * 300, "zoë", "a\0b"])
def test_a_client_cannot_write_header_lines_by_its_name(name: str):
    assert received(client_name=name).startswith(b"Received: from unknown ([192.0.2.1])\r\n")


def test_a_return_path():
    assert trace.return_path("a@example.org") == b"Return-Path: <a@example.org>\r\n"
    assert trace.return_path("") == b"Return-Path: <>\r\n"
    with pytest.raises(ValueError, match="single line"):
        trace.return_path("a\r\nb")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"", {"Date", "Message-ID"}),
        (b"Subject: x\r\n\r\nDate: y\r\nMessage-ID: z\r\n", {"Date", "Message-ID"}),
        (b"DATE: x\r\nsubject: y\r\n\r\n", {"Message-ID"}),
        (b"Message-Id : <x@y>\r\n\r\n", {"Date"}),
        (b"date: x\r\nmessage-id: y\r\n\r\n", set()),
        (b"X-Date: x\r\nSubject: no\r\n Date: y\r\n\r\n", {"Date", "Message-ID"}),
    ],
)
def test_what_a_submitted_message_lacks_is_added(content: bytes, names: set[str]):
    added = message_from_bytes(trace.missing_fields(content, now=NOW, hostname="mx.example.org"), policy=policy.default)
    assert set(added.keys()) == names


def test_hops_are_counted_in_the_header_only():
    assert trace.hops(b"Received: a\r\nreceived : b\r\n\tReceived: c\r\nX: y\r\n\r\nReceived: d\r\n") == 2


def parsed(octets: bytes) -> Any:
    return message_from_bytes(octets)


def undelivered(failures: dict[str, str], content: bytes = b"Subject: x\r\n\r\nbody\r\n") -> bytes:
    message = Undelivered(sender="a@example.org", content=content, failures=failures, arrived_at=NOW)
    return bounce(message, now=NOW, hostname="mx.example.org")


def test_what_the_other_side_said_cannot_break_the_report():
    said = "550 5.1.1 No\r\nX-Forged: yes\0 ü " + "words " * 500
    message = parsed(undelivered({"b@example.net": said}))
    status = message.get_payload(1)
    assert [block.keys() for block in status.get_payload()] == [
        ["Reporting-MTA", "Arrival-Date"],
        ["Final-Recipient", "Action", "Status", "Diagnostic-Code", "Last-Attempt-Date"],
    ]


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [
        ("550 5.7.1 No", "5.7.1", "smtp"),
        ("550 No", "5.0.0", "smtp"),
        ("closed", "5.0.0", "x-mailrecall"),
        ("", "5.0.0", "x"),
    ],
)
def test_a_status_is_found_in_what_was_said(said: str, status: str, kind: str):
    block = parsed(undelivered({"b@example.net": said})).get_payload(1).get_payload(1)
    assert block["Status"] == status
    assert block["Diagnostic-Code"].startswith(kind)


def test_a_long_or_international_address_stays_whole():
    long = "x" * 64 + "@" + "y" * 60 + "." + "z" * 60 + ".example"
    status = parsed(undelivered({long: "550 no", "李雷@example.net": "550 no"})).get_payload(1)
    assert status.get_payload(1)["Final-Recipient"] == f"rfc822; {long}"
    assert status.get_payload(2)["Final-Recipient"] == r"utf-8; \x{674E}\x{96F7}@example.net"


def test_a_bounce_has_an_end():
    failures = {f"r{number}@example.net": "550 5.1.1 No" for number in range(MOST_LISTED + 5)}
    message = parsed(undelivered(failures))
    assert b"... and 5 more." in message.get_payload(0).get_payload(decode=True)
    assert len(message.get_payload(1).get_payload()) == MOST_LISTED + 1


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\r\n\r\n", b"Subject: " + b"x" * 5_000 + b"\r\n\r\n", b"\0", b"no header"]
)
def test_any_message_can_bounce(content: bytes):
    octets = undelivered({"b@example.net": "550 no"}, content)
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert parsed(octets).get_payload(2).get_content_type() == "text/rfc822-headers"


def test_a_forward_knows_itself_again():
    content = b"Return-Path: <a@example.org>\r\nReceived: by x\r\nSubject: S\r\n\r\nDelivered-To: not@a.field\r\n"
    once = trace.forwarded(content, by="ada@example.org", hostname="mx.example.org", identifier="1", now=NOW)
    twice = trace.forwarded(once, by="grüße@example.org", hostname="mx.example.org", identifier="2", now=NOW)
    assert trace.delivered_to(content) == set()
    assert trace.delivered_to(once) == {"ada@example.org"}
    assert trace.delivered_to(twice) == {"ada@example.org", "grüße@example.org"}
    assert (trace.hops(once), trace.hops(twice)) == (2, 3)
    assert once.endswith(content.partition(b"\r\n")[2])
    assert b"Return-Path" not in once
    assert trace.delivered_to(b"delivered-to: <ADA@example.org> \nX: y\n\n") == {"ada@example.org"}


def test_a_forward_takes_no_address_that_would_end_its_line():
    with pytest.raises(ValueError, match="single word"):
        trace.forwarded(b"", by="a@b.example\r\nX: y", hostname="h", identifier="1", now=NOW)
