"""Messages as trees, read with the standard email package under limits, so that no message costs more than these.

A message beyond a limit is not refused. It is stored and handed out as it is; only what is read out of it shrinks to
its header fields and, where it is plain text, its body.
"""

import re
from email.errors import MessageError
from email.message import Message
from email.parser import BytesFeedParser
from email.policy import Compat32
from typing import Any

from mailrecall.mime import texts

MOST_LINES = 1_000_000
"""Lines of a message that is taken apart. (50 MiB of base64 are about 700,000.)"""
MOST_HEADER_OCTETS = 1024 * 1024
"""Octets of a header section that is read to its end."""
MOST_PARTS = 10_000
"""MIME parts of a message that is taken apart."""
DEEPEST = 20
"""Levels of MIME parts in each other. What is in an enclosed message counts when that is read in its turn."""

_HEADER_END = re.compile(rb"(?:\A|\r\n|\n|\r(?!\n))(?=\r\n|\n|\r)")


class RawMessage(Message):
    """A message or one of its parts.

    The parser is told that an enclosed message (message/rfc822 and its kin) is a leaf: it is handed out byte for byte,
    and what is in it is read when somebody opens it.
    """

    @property
    def declared_type(self) -> str:
        """The content type as its sender gave it, in lower case; text/plain where there is none."""
        return super().get_content_type()

    def get_content_type(self) -> str:
        """Return the content type by which the parser decides how to go on."""
        declared = super().get_content_type()
        return f"enclosed-{declared}" if declared.startswith("message/") else declared


class _TooComplexError(MessageError):
    """The message is beyond a limit."""


class _Reading(Compat32):
    """How messages are read: header fields as they stand, raw 8-bit octets turned into text on access."""

    def header_fetch_parse(self, name: str, value: str) -> str:  # noqa: ARG002 - the policy's interface
        return texts.recovered(value[: texts.LONGEST_HEADER_TEXT])


_READING = _Reading()


class _Parser(BytesFeedParser):
    """The package's parser, which gives up on a message beyond the limits instead of going on for ever."""

    _msgstack: list[RawMessage]

    def __init__(self) -> None:
        super().__init__(RawMessage, policy=_READING)
        self._parts = 0

    def _new_message(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS or len(self._msgstack) >= DEEPEST:
            raise _TooComplexError
        super()._new_message()  # type: ignore[misc]  # typeshed leaves it out

    def read(self, content: bytes) -> RawMessage:
        """Take a whole message apart; raises when it is beyond the limits, or beyond the package."""
        self.feed(content)
        root = self.close()
        if not isinstance(root, RawMessage):
            raise TypeError("the parser makes what it is told to make")
        return root


def parse(content: bytes) -> RawMessage:
    """Take a message apart; never fails. Beyond the limits the tree is a single part."""
    if _within_limits(content):
        try:
            return _Parser().read(content)
        # the package promises never to raise, and does; no mail may be lost over that, nor over our own limits
        except Exception:  # noqa: BLE001
            return _single_part(content)
    return _single_part(content)


def header_section(content: bytes) -> bytes:
    """Return the header section up to and without the empty line that ends it, cut off at the limit."""
    end = _HEADER_END.search(content, 0, MOST_HEADER_OCTETS)
    return content[: end.end()] if end else content[:MOST_HEADER_OCTETS]


def _within_limits(content: bytes) -> bool:
    lines = content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")
    if lines > MOST_LINES:
        return False
    return len(content) <= MOST_HEADER_OCTETS or _HEADER_END.search(content, 0, MOST_HEADER_OCTETS) is not None


def _single_part(content: bytes) -> RawMessage:
    section = header_section(content)
    try:
        message = _Parser().read(section + b"\r\n\r\n")
    except Exception:  # noqa: BLE001 - as above: then not even its header fields can be read
        message = RawMessage(policy=_READING)
    message.set_payload(content[len(section) :].lstrip(b"\r\n").decode("ascii", "surrogateescape"))
    return message


def fields(message: RawMessage, name: str) -> str | None:
    """Return a header field for people, repeated ones joined by commas; None where there is none."""
    try:
        values = [texts.header_text(str(value)) for value in message.get_all(name, [])]
    except Exception:  # noqa: BLE001 - a broken field is a field without a text
        return ""
    return ", ".join(value for value in values if value)[: texts.LONGEST_HEADER_TEXT] if values else None


def body_octets(part: RawMessage) -> bytes:
    """Return a leaf's content, its transfer encoding undone as far as it goes."""
    payload: Any
    try:
        payload = part.get_payload(decode=True)
        if payload is None:
            payload = part.get_payload()
    except Exception:  # noqa: BLE001 - an undecodable part is handed out as it stands
        payload = part.get_payload()
    if isinstance(payload, str):
        return payload.encode("utf-8", "surrogateescape")
    return payload if isinstance(payload, bytes) else b""
