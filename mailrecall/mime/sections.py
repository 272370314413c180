"""Where the parts of a message lie in its octets, and which of them a section number names (RFC 3501 section 6.4.5).

The standard package takes messages apart into texts; IMAP hands out octets, so this keeps offsets. What is a part, and
what an attachment, is decided as in `parts`: whoever fetches octets of an attachment fetches the attachment (R5).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mailrecall.mime import parts, reading
from mailrecall.mime.reading import RawMessage

MOST_PARTS = 2_000
"""Parts of a message that are told apart; what holds more is one part."""

_FIELD_LINE = re.compile(rb"(?:[!-9;-~]+[ \t]*:|[ \t]|From )")
_LINE = re.compile(rb"[^\n]*\n?")
_ENCLOSED = "message/rfc822"
_IDENTITY = ("", "7bit", "8bit", "binary")


@dataclass(frozen=True, slots=True)
class Span:
    """Octets `start` to `end` of a message, the last one excluded."""

    start: int
    end: int

    def of(self, content: bytes) -> bytes:
        """Return these octets."""
        return content[self.start : self.end]

    def cut(self, offset: int, length: int | None) -> "Span":
        """Return a partial fetch of it."""
        start = min(self.start + offset, self.end)
        return Span(start, self.end if length is None else min(start + length, self.end))

    def touches(self, other: "Span") -> bool:
        """Tell whether they share an octet; an empty one is touched by what it lies in."""
        if other.start == other.end:
            return self.start <= other.start <= self.end and self.start != self.end
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Part:
    """A message or one of its parts. `header` ends with the empty line, where there is one; `body` begins after it."""

    header: Span
    body: Span
    fields: RawMessage
    """The header fields alone."""
    content_type: str
    """As declared, in lower case; text/plain for what claims to have parts and has none."""
    children: Sequence["Part"] = field(default=())
    enclosed: "Part | None" = None
    """The message in a part of type message/rfc822."""

    @property
    def whole(self) -> Span:
        """Header and body."""
        return Span(self.header.start, self.body.end)

    def leaves(self) -> Iterator["Part"]:
        """Walk the parts without parts; an enclosed message is one."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            if part.children:
                waiting.extend(reversed(part.children))
            else:
                yield part

    def attachments(self) -> list[Span]:
        """Return where the content of the message's attachments lies."""
        return [leaf.body for leaf in self.leaves() if parts.is_attachment(leaf.fields)]


def find(message: Part, numbers: Sequence[int]) -> Part | None:
    """Return the part that a section's numbers name; None when there is none.

    A message that is not a multipart has the one part 1: its body.
    """
    part, is_message = message, True
    for number in numbers:
        if not is_message and part.enclosed is not None:
            part, is_message = part.enclosed, True
        if part.children:
            if number > len(part.children):
                return None
            part = part.children[number - 1]
        elif number != 1 or not is_message:
            return None
        is_message = False
    return part


def header_of(beginning: bytes, *, complete: bool) -> bytes | None:
    """Return the header section of a message of which only the beginning may be known; None when more is needed."""
    header, body = _Parser(beginning).split(0, len(beginning))
    return header.of(beginning) if complete or body.start < len(beginning) else None


def parse(content: bytes) -> Part:
    """Find the parts of a message; never fails, whatever the octets."""
    parser = _Parser(content)
    try:
        return parser.part(0, len(content), "text/plain", 0)
    except _TooManyPartsError:
        header, body = parser.split(0, len(content))
        return Part(header, body, reading.parse(header.of(content)), "text/plain")


class _TooManyPartsError(Exception):
    """The message is beyond the limit."""


class _Parser:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._parts = 0

    def part(self, start: int, end: int, default: str, depth: int) -> Part:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _TooManyPartsError
        header, body = self.split(start, end)
        fields = reading.parse(header.of(self._content))
        if "content-type" not in fields:
            fields.set_default_type(default)
        declared = fields.declared_type
        if depth >= reading.DEEPEST:
            return Part(header, body, fields, _undivided(declared))
        if declared.startswith("multipart/"):
            inner = _ENCLOSED if declared == "multipart/digest" else "text/plain"
            children = [self.part(*span, inner, depth + 1) for span in self._divided(body, _boundary(fields))]
            return Part(header, body, fields, declared if children else _undivided(declared), children)
        if declared == _ENCLOSED and _encoding(fields) in _IDENTITY:
            enclosed = self.part(body.start, body.end, "text/plain", depth + 1)
            return Part(header, body, fields, declared, enclosed=enclosed)
        return Part(header, body, fields, declared)

    def split(self, start: int, end: int) -> tuple[Span, Span]:
        """Find the end of the header section: behind the empty line, or before the first line that is no field."""
        position = start
        while position < end:
            line = _LINE.match(self._content, position, end)
            following = line.end() if line else end
            if self._content[position:following] in (b"\r\n", b"\n"):
                return Span(start, following), Span(following, end)
            if not _FIELD_LINE.match(self._content, position, end):
                break
            position = following
        return Span(start, position), Span(position, end)

    def _divided(self, body: Span, boundary: bytes | None) -> Iterator[tuple[int, int]]:
        """Cut a body at its boundary's lines; the line end before one belongs to it (RFC 2046 section 5.1.1)."""
        if boundary is None:
            return
        delimiter = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\r?\Z)", re.MULTILINE)
        opened: int | None = None
        for line in delimiter.finditer(self._content, body.start, body.end):
            if opened is not None:
                yield opened, max(opened, self._before_line_end(line.start()))
            opened = None if line[1] else line.end()
            if line[1]:
                return
        if opened is not None:
            yield opened, body.end

    def _before_line_end(self, position: int) -> int:
        if self._content[position - 2 : position] == b"\r\n":
            return position - 2
        return position - 1 if self._content[position - 1 : position] == b"\n" else position


def _undivided(declared: str) -> str:
    return "text/plain" if declared.startswith("multipart/") else declared


def _boundary(fields: RawMessage) -> bytes | None:
    try:
        boundary = fields.get_boundary()
    except Exception:  # noqa: BLE001 - an unreadable boundary is none
        return None
    return boundary.encode("utf-8", "surrogateescape") if boundary else None


def _encoding(fields: RawMessage) -> str:
    return str(fields.get("content-transfer-encoding", "")).strip().lower()
