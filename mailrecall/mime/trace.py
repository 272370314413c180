"""Trace fields (RFC 5321 section 4.4): what this host writes in front of a message, never into it."""

import re
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum

from mailrecall.mime import reading
from mailrecall.mime.compose import new_message_id

_HOST_NAME = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,255}")
_FIELDS = {
    name: re.compile(rb"^" + name + rb"[ \t]*:", re.IGNORECASE | re.MULTILINE)
    for name in (b"Received", b"Date", b"Message-ID")
}
_DELIVERED_TO = re.compile(rb"^Delivered-To[ \t]*:[ \t]*<?([^\s<>]+)>?[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_RETURN_PATH = b"Return-Path: <"


class Protocol(StrEnum):
    """How a message came in, as the registry of mail transmission types has it (RFC 3848, RFC 6531)."""

    ESMTPA = "ESMTPA"
    UTF8SMTPA = "UTF8SMTPA"
    LMTP = "LMTP"
    UTF8LMTP = "UTF8LMTP"


def received(
    *, client_name: str, client_address: str, hostname: str, protocol: Protocol, identifier: str, now: datetime
) -> bytes:
    """Return a Received field.

    It names no recipient: who else got a message is nobody's business. What the client calls itself is not to be
    trusted and is left out when it is no host name.
    """
    name = client_name if _HOST_NAME.fullmatch(client_name) else "unknown"
    address = client_address if _HOST_NAME.fullmatch(client_address) else "unknown"
    literal = f"IPv6:{address}" if ":" in address else address
    field = (
        f"Received: from {name} ([{literal}])\r\n"
        f"\tby {hostname} with {protocol} id {identifier};\r\n"
        f"\t{format_datetime(now)}\r\n"
    )
    return field.encode("ascii", "replace")


def return_path(envelope_sender: str) -> bytes:
    """Return the field that final delivery adds; empty angle brackets for a null reverse-path."""
    if "\r" in envelope_sender or "\n" in envelope_sender:
        raise ValueError("An envelope sender is a single line.")
    return f"Return-Path: <{envelope_sender}>\r\n".encode()


def missing_fields(content: bytes, *, now: datetime, hostname: str) -> bytes:
    """Return the Date and Message-ID that a submitted message lacks (RFC 6409 section 8)."""
    section = reading.header_section(content)
    fields = b""
    if not _FIELDS[b"Date"].search(section):
        fields += f"Date: {format_datetime(now)}\r\n".encode()
    if not _FIELDS[b"Message-ID"].search(section):
        fields += f"Message-ID: {new_message_id(hostname)}\r\n".encode()
    return fields


def hops(content: bytes) -> int:
    """Count the hosts a message says it came through: a mail loop shows as ever more of them."""
    return len(_FIELDS[b"Received"].findall(reading.header_section(content)))


def delivered_to(content: bytes) -> set[str]:
    """Return the accounts that say they passed the message on before, in lower case."""
    found = _DELIVERED_TO.findall(reading.header_section(content))
    return {address.decode("utf-8", "replace").lower() for address in found}


def forwarded(content: bytes, *, by: str, hostname: str, identifier: str, now: datetime) -> bytes:
    """Return a message as an account passes it on: with the account's mark, by which it knows the message again."""
    if any(character in by for character in "\r\n<>"):
        raise ValueError("An account's address is a single word.")
    mark = f"Delivered-To: {by}\r\nReceived: by {hostname} id {identifier};\r\n\t{format_datetime(now)}\r\n"
    return mark.encode() + without_return_path(content)


def without_return_path(content: bytes) -> bytes:
    """Return a message without the field of a final delivery here, which goes no further (RFC 5321 section 4.4)."""
    return content.partition(b"\r\n")[2] if content.startswith(_RETURN_PATH) else content
