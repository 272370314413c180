"""What people see of a message: its text, and its attachments one by one."""

import mimetypes
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from mailrecall.mime import reading, texts

LONGEST_FILENAME = 200
_BODY_TYPES = ("text/plain", "text/html")
_LONGEST_UNDIVIDED = 100_000
_CONTENT_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")
_NAMES = {"message/delivery-status": "delivery-status.txt", "text/rfc822-headers": "headers.txt"}
_UNSAFE = re.compile(r'[/\\:*?"<>|]')


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment of a message. `index` counts from 0 in the order of the message."""

    index: int
    filename: str
    """Decoded, without folders, control characters and other traps; never empty."""
    content_type: str
    size: int
    """Octets, decoded."""


@dataclass(frozen=True, slots=True)
class Readable:
    """A message as a person reads it. Header texts are decoded, empty where the message has none."""

    subject: str
    from_header: str
    to_header: str
    cc_header: str
    reply_to_header: str
    date: datetime | None
    """When the sender says it was written; None where that cannot be read."""
    message_id: str
    in_reply_to: str
    references: str
    text: str | None
    html: str | None
    """As the sender wrote it: not yet safe to show."""


def readable(content: bytes) -> Readable:
    """Read a message for a person; never fails, whatever the bytes."""
    message = reading.parse(content)
    text, html = bodies(message)

    def field(name: str) -> str:
        return reading.fields(message, name) or ""

    return Readable(
        subject=field("Subject"),
        from_header=field("From"),
        to_header=field("To"),
        cc_header=field("Cc"),
        reply_to_header=field("Reply-To"),
        date=date_of(field("Date")),
        message_id=field("Message-ID"),
        in_reply_to=field("In-Reply-To"),
        references=field("References"),
        text=text,
        html=html,
    )


def attachments(content: bytes) -> list[Attachment]:
    """List a message's attachments: every leaf but its text, enclosed messages, and text that bears a file name."""
    return [
        _attachment(index, part, len(reading.body_octets(part)))
        for index, part in enumerate(_attached(reading.parse(content)))
    ]


def attachment_content(content: bytes, index: int) -> tuple[Attachment, bytes]:
    """Return one attachment with its content.

    Raises:
        LookupError: the message has no attachment of that index.
    """
    for position, part in enumerate(_attached(reading.parse(content))):
        if position == index:
            octets = reading.body_octets(part)
            return _attachment(index, part, len(octets)), octets
    raise LookupError(f"The message has no attachment {index}.")


def attachment_contents(content: bytes) -> Iterator[tuple[Attachment, bytes]]:
    """Return all attachments of a message with their content: it is taken apart once."""
    for index, part in enumerate(_attached(reading.parse(content))):
        octets = reading.body_octets(part)
        yield _attachment(index, part, len(octets)), octets


def inline_images(content: bytes) -> dict[str, tuple[str, bytes]]:
    """Return the pictures that a message's HTML can show by `cid:` (RFC 2392): type and octets by Content-ID."""
    found: dict[str, tuple[str, bytes]] = {}
    for part in _leaves(reading.parse(content)):
        if part.get_content_maintype() == "image" and (name := reading.fields(part, "Content-ID")):
            found.setdefault(name.strip().strip("<>"), (part.declared_type, reading.body_octets(part)))
    return found


def count(message: reading.RawMessage) -> int:
    """Count the attachments of a message that was taken apart."""
    return sum(1 for _ in _attached(message))


def bodies(message: reading.RawMessage, *, longest: int | None = None) -> tuple[str | None, str | None]:
    """Return the text and the HTML of a message that was taken apart, each None where there is none.

    Args:
        message: the message.
        longest: octets of one part that are enough; None: all of it.
    """
    found: dict[str, list[str]] = {kind: [] for kind in _BODY_TYPES}
    for part in _leaves(message):
        if _is_undivided(part):
            found["text/plain"].append(texts.decode(reading.body_octets(part)[:_LONGEST_UNDIVIDED], None))
        elif _is_body(part):
            octets = reading.body_octets(part)
            found[part.declared_type].append(texts.decode(octets[:longest], _charset(part)))
    text, html = (("\n".join(found[kind]) if found[kind] else None) for kind in _BODY_TYPES)
    return text, html


def _leaves(message: reading.RawMessage) -> Iterator[reading.RawMessage]:
    """Walk the parts that contain no parts; an enclosed message or report is one of them."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            waiting.extend(reversed(_children(part)))
        else:
            yield part


def _is_undivided(part: reading.RawMessage) -> bool:
    """Tell whether this should have parts and has none: no boundary, or more than the limits of reading allow."""
    return part.get_content_maintype() == "multipart"


def _children(part: reading.RawMessage) -> list[reading.RawMessage]:
    payload: Any = part.get_payload()
    return payload if isinstance(payload, list) else []


def _attached(message: reading.RawMessage) -> Iterator[reading.RawMessage]:
    return filter(is_attachment, _leaves(message))


def is_attachment(leaf: reading.RawMessage) -> bool:
    """Tell whether a part without parts is an attachment, not text to be read with the message."""
    return not _is_body(leaf) and not _is_undivided(leaf)


def _is_body(part: reading.RawMessage) -> bool:
    return part.declared_type in _BODY_TYPES and _disposition(part) != "attachment" and _declared_filename(part) is None


def _disposition(part: reading.RawMessage) -> str | None:
    try:
        return part.get_content_disposition()
    except Exception:  # noqa: BLE001 - an unreadable disposition is none
        return None


def _charset(part: reading.RawMessage) -> str | None:
    try:
        return part.get_content_charset()
    except Exception:  # noqa: BLE001 - an unreadable charset is none
        return None


def _attachment(index: int, part: reading.RawMessage, size: int) -> Attachment:
    content_type = part.declared_type
    if not _CONTENT_TYPE.fullmatch(content_type):
        content_type = "application/octet-stream"
    name = safe_filename(_declared_filename(part) or "") or _made_up_name(index, part, content_type)
    return Attachment(index, name, content_type, size)


def _declared_filename(part: reading.RawMessage) -> str | None:
    """Return the file name in any of the spellings in use: RFC 2231, RFC 2047 in quotes, raw octets."""
    try:
        name = part.get_filename()
    except Exception:  # noqa: BLE001 - an unreadable file name is none
        return None
    return texts.header_text(name) if name else None


def _made_up_name(index: int, part: reading.RawMessage, content_type: str) -> str:
    if content_type == "message/rfc822":
        subject = reading.fields(reading.parse(reading.header_section(reading.body_octets(part))), "Subject")
        return (safe_filename(subject or "") or f"message-{index + 1}") + ".eml"
    if content_type in _NAMES:
        return _NAMES[content_type]
    return f"attachment-{index + 1}{mimetypes.guess_extension(content_type) or '.bin'}"


def safe_filename(name: str) -> str:
    """Return a file name without folders, control and direction characters, cut to 200 characters; may be empty."""
    name = texts.storable(name)
    name = name.replace("\\", "/").rpartition("/")[2]
    name = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co"))
    name = _UNSAFE.sub("_", name).strip(" .")
    if len(name) > LONGEST_FILENAME:
        stem, dot, extension = name.rpartition(".")
        keep = dot + extension if stem and len(extension) <= 10 else ""  # noqa: PLR2004 - longer is no extension
        name = name[: LONGEST_FILENAME - len(keep)] + keep
    return name


def date_of(value: str) -> datetime | None:
    """Return the moment that a Date field names; None where that cannot be read."""
    try:
        moment = parsedate_to_datetime(value)
        moment.astimezone(UTC)  # a date that no clock can show is none
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
