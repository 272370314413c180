"""A message of a mailbox, as pymap asks for one: its listed data, and its content once that may be shown."""

import base64
import binascii
import quopri
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from pymap.bytes import Writeable
from pymap.interfaces.message import LoadedMessageInterface
from pymap.message import BaseMessage
from pymap.parsing.response.fetch import BodyStructure, EnvelopeStructure
from pymap.parsing.specials import FetchRequirement, ObjectId
from pymap.parsing.specials import Flag as ImapFlag
from pymap.parsing.specials.flag import Answered, Deleted, Draft, Flagged, Seen

from mailrecall.domain.copies import Flag
from mailrecall.mailstore.imap import Held
from mailrecall.mime import parts, reading, sections
from mailrecall.mime.sections import Part, Span
from services.delivery.imap.structure import Envelope, Structure

FLAGS: Mapping[ImapFlag, Flag] = {
    Seen: Flag.SEEN,
    Answered: Flag.ANSWERED,
    Flagged: Flag.FLAGGED,
    Deleted: Flag.DELETED,
    Draft: Flag.DRAFT,
}
"""The flags that can be stored; there are no keywords."""


def to_flags(flags: Collection[ImapFlag]) -> Flag:
    """Return flags as they are stored; what cannot be stored is left out."""
    stored = Flag(0)
    for flag in flags:
        stored |= FLAGS.get(flag, Flag(0))
    return stored


class ImapMessage(BaseMessage):
    """A message in a folder."""

    __slots__ = ("_load", "held")

    def __init__(self, held: Held, load: Callable[[int], Any] | None = None, *, expunged: bool = False) -> None:
        """Describe a message.

        Args:
            held: what the folder lists of it.
            load: returns an awaitable of its `LoadedMessage`, by UID; None where nobody asks.
            expunged: whether it is gone, and only its listed data is left.
        """
        super().__init__(
            held.uid,
            held.received_at,
            [flag for flag, stored in FLAGS.items() if stored in held.flags],
            email_id=ObjectId(b"M%d" % held.copy_id),
            expunged=expunged,
        )
        self.held = held
        self._load = load

    async def load_content(self, requirement: FetchRequirement) -> "LoadedMessage":
        """Return the content that the command at hand may show."""
        if self._load is None:
            return LoadedMessage(self.held, None, requirement)
        loaded: LoadedMessage = await self._load(self.uid)
        return loaded


class LoadedMessage(LoadedMessageInterface):
    """What may be shown of a message. When the copy is gone there is no content, and every text is empty.

    RFC 2180 section 4.1.3 has this for messages that go while they are fetched.
    """

    def __init__(self, held: Held, content: bytes | None, requirement: FetchRequirement) -> None:
        self._held = held
        self._content = content or b""
        self._requirement = requirement

    @property
    def requirement(self) -> FetchRequirement:
        """What pymap asked for."""
        return self._requirement

    def __bytes__(self) -> bytes:
        return self._content

    def prepare(self) -> None:
        """Take the message apart; what asks for its parts afterwards need not wait."""
        self.part  # noqa: B018 - kept once it was asked for

    @cached_property
    def part(self) -> Part:
        """The message, taken apart."""
        return sections.parse(self._content)

    @cached_property
    def envelope(self) -> EnvelopeStructure:
        """The ENVELOPE."""
        return Envelope(self.part.fields)

    @cached_property
    def structure(self) -> BodyStructure:
        """The BODYSTRUCTURE."""
        return Structure(self._content, self.part)

    @cached_property
    def _words(self) -> str:
        readable = parts.readable(self._content)
        told = (readable.subject, readable.from_header, readable.to_header, readable.cc_header)
        return "\n".join(filter(None, (*told, readable.text, readable.html))).casefold()

    def get_header(self, name: bytes) -> Sequence[str]:
        """Return a field's decoded texts."""
        text = reading.fields(self.part.fields, name.decode("ascii", "replace"))
        return [] if text is None else [text]

    def get_headers(self, section: Sequence[int]) -> Writeable:
        """Return a part's MIME header."""
        part = sections.find(self.part, section)
        return self._cut(part.header if part else None)

    def get_message_headers(
        self, section: Sequence[int] | None = None, subset: Collection[bytes] | None = None, inverse: bool = False
    ) -> Writeable:
        """Return the header of the message, or of one that is enclosed; all its fields or some."""
        message = self._message(section)
        if message is None:
            return Writeable.empty()
        if subset is None:
            return self._cut(message.header)
        kept = (
            line for name, line in _fields(message.header.of(self._content)) if (name.upper() in subset) is not inverse
        )
        return Writeable.wrap(b"".join(kept) + b"\r\n")

    def get_message_text(self, section: Sequence[int] | None = None) -> Writeable:
        """Return the text of the message, or of one that is enclosed."""
        message = self._message(section)
        return self._cut(message.body if message else None)

    def get_body(self, section: Sequence[int] | None = None, binary: bool = False) -> Writeable:
        """Return the message, or the body of a part, with its transfer encoding undone for BINARY."""
        if not section:
            return Writeable.wrap(self._content)
        part = sections.find(self.part, section)
        if part is None:
            return Writeable.empty()
        return Writeable.wrap(_decoded(part, self._content)) if binary else self._cut(part.body)

    def get_size(self, section: Sequence[int] | None = None) -> int:  # noqa: ARG002 - its interface
        """Return the size of the message, as listed."""
        return self._held.size

    def get_envelope_structure(self) -> EnvelopeStructure:
        """Return the ENVELOPE."""
        return self.envelope

    def get_body_structure(self) -> BodyStructure:
        """Return the BODYSTRUCTURE."""
        return self.structure

    def contains(self, value: bytes) -> bool:
        """Tell whether the message has these words, as people read it or in its octets."""
        return value.decode("utf-8", "replace").casefold() in self._words or value.lower() in self._content.lower()

    def _message(self, section: Sequence[int] | None) -> Part | None:
        if not section:
            return self.part
        part = sections.find(self.part, section)
        return part.enclosed if part else None

    def _cut(self, span: Span | None) -> Writeable:
        return Writeable.wrap(span.of(self._content)) if span else Writeable.empty()


def _fields(header: bytes) -> Sequence[tuple[bytes, bytes]]:
    """Return the fields of a header section with their names, each with its folded lines."""
    fields: list[tuple[bytes, bytes]] = []
    for line in header.splitlines(keepends=True):
        if line[:1] in (b" ", b"\t") and fields:
            name, text = fields[-1]
            fields[-1] = name, text + line
        elif b":" in line:
            fields.append((line.partition(b":")[0].strip(), line))
    return fields


def _decoded(part: Part, content: bytes) -> bytes:
    body = part.body.of(content)
    encoding = str(part.fields.get("content-transfer-encoding", "")).strip().lower()
    if encoding == "quoted-printable":
        return quopri.decodestring(body)
    if encoding == "base64":
        try:
            return base64.b64decode(body)
        except binascii.Error:
            return body
    return body
