"""What a FETCH means for the rules: which facts it adds to a copy before anything of it is handed out (R2, R5).

A body section fetched without PEEK is a read. Octets of an attachment, PEEK or not, are an attachment fetched; so is
the whole of a message that has one, since the attachment is in it. All else is no fact: flags, dates and sizes,
ENVELOPE, BODY and BODYSTRUCTURE, RFC822.HEADER, and what PEEK shows of text and headers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from pymap.parsing.specials import FetchAttribute

from mailrecall.domain.copies import Fact
from mailrecall.mime import sections
from mailrecall.mime.sections import Part, Span

_READS = (b"RFC822", b"RFC822.TEXT")
_CONTENT = (b"BODY", b"BODY.PEEK", b"BINARY", b"BINARY.PEEK", b"RFC822", b"RFC822.TEXT", b"RFC822.HEADER")
_HEADERS = (b"HEADER", b"HEADER.FIELDS", b"HEADER.FIELDS.NOT")


class Need(IntEnum):
    """How much of a message an answer needs."""

    NOTHING = 0
    HEADER = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a FETCH's attributes mean for each message it names."""

    need: Need
    reads: bool
    """R2."""
    whole: bool
    """Hands out all of the body, and every attachment with it (R5)."""
    pieces: Sequence[FetchAttribute]
    """Those that may hand out an attachment or not: that depends on the message (R5)."""
    takes_apart: bool
    """Whether the parts of the message must be known."""

    def facts(self, attachment_count: int) -> Fact:
        """Return the facts for a message by what is listed of it, before its parts are known."""
        facts = Fact.READ if self.reads else Fact(0)
        return facts | Fact.ATTACHMENT_DOWNLOADED if self.whole and attachment_count else facts

    def must_look(self, attachment_count: int) -> bool:
        """Tell whether the message must be taken apart to know its facts."""
        return bool(attachment_count and self.pieces and not self.whole)

    def takes_attachment(self, message: Part) -> bool:
        """R5: tell whether one of the pieces has octets of an attachment in it.

        To be asked of messages that are listed with attachments. Where such a one cannot be found, because the message
        is cut up otherwise than mail is, it may be in any piece.
        """
        attached = message.attachments() or [message.body]
        spans = [span for piece in self.pieces if (span := span_of(message, piece, exact=False)) is not None]
        return any(span.touches(attachment) for span in spans for attachment in attached)


def meaning(attributes: Iterable[FetchAttribute]) -> Meaning:
    """Return what the attributes of one FETCH mean together."""
    asked = list(attributes)
    content = [attribute for attribute in asked if attribute.value in _CONTENT and attribute.section is not None]
    bodies = [attribute for attribute in content if not _only_header(attribute)]
    return Meaning(
        need=max(map(_need, asked), default=Need.NOTHING),
        reads=any(map(_reads, content)),
        whole=any(map(_is_whole, bodies)),
        pieces=[attribute for attribute in bodies if not _is_whole(attribute)],
        takes_apart=any(map(_takes_apart, asked)),
    )


def span_of(message: Part, attribute: FetchAttribute, *, exact: bool = True) -> Span | None:
    """Return the octets that a content attribute names, None for those of a part that the message has not.

    Args:
        message: the message, taken apart.
        attribute: the attribute, with a section.
        exact: whether a partial fetch's offsets count in these octets; those of BINARY count in decoded ones.
    """
    section = attribute.section
    if section is None:
        return None
    span = _section(message, section)
    if span is None or attribute.partial is None:
        return span
    if attribute.value.startswith(b"BINARY"):
        return None if exact else span
    return span.cut(attribute.partial.start, attribute.partial.length)


def _section(message: Part, section: FetchAttribute.Section) -> Span | None:
    part = sections.find(message, section.parts)
    if part is None:
        return None
    if section.specifier == b"MIME":
        return part.header
    if section.specifier is None:
        return part.body if section.parts else part.whole
    # with numbers, HEADER and TEXT are those of the message that is enclosed in the part
    described = part.enclosed if section.parts else part
    if described is None:
        return None
    return described.body if section.specifier == b"TEXT" else described.header


def _reads(attribute: FetchAttribute) -> bool:
    return attribute.value in (b"BODY", b"BINARY", *_READS)


def _is_whole(attribute: FetchAttribute) -> bool:
    section = attribute.section
    return attribute.partial is None and section is not None and not section.parts


def _only_header(attribute: FetchAttribute) -> bool:
    section = attribute.section
    return section is not None and not section.parts and section.specifier in _HEADERS


def _takes_apart(attribute: FetchAttribute) -> bool:
    if attribute.section is None:
        return _need(attribute) is not Need.NOTHING
    return bool(attribute.section.parts or attribute.section.specifier)


def _need(attribute: FetchAttribute) -> Need:
    if attribute.value == b"ENVELOPE" or (attribute.value in _CONTENT and _only_header(attribute)):
        return Need.HEADER
    if attribute.value in (*_CONTENT, b"BODYSTRUCTURE", b"BINARY.SIZE"):
        return Need.ALL
    return Need.NOTHING
