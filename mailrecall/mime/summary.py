"""What lists and reports show of a message, read once when it is accepted."""

from dataclasses import dataclass

from mailrecall.mime import parts, reading, words

LONGEST_TEXT = 4_000
"""Characters of a header text that a summary keeps."""
LONGEST_PREVIEW = 200
_LONGEST_PREVIEWED = 20_000


@dataclass(frozen=True, slots=True)
class Summary:
    """The parts of a message that are worth a column. Header texts are decoded; NUL never occurs in any of them."""

    header_message_id: str | None
    from_header: str
    to_header: str
    subject: str
    preview: str
    """The first words of the text, at most 200 characters, white space folded."""
    attachments: int


def summarise(content: bytes) -> Summary:
    """Read a message's summary; never fails, whatever the bytes."""
    message = reading.parse(content)
    identifier = _field(message, "Message-ID")
    return Summary(
        header_message_id=identifier or None,
        from_header=_field(message, "From"),
        to_header=_field(message, "To"),
        subject=_field(message, "Subject"),
        preview=_preview(message),
        attachments=min(parts.count(message), 32_767),
    )


def searchable_text(content: bytes) -> str:
    """Return a message's subject and text for a search by words (R30); HTML counts by what it shows."""
    message = reading.parse(content)
    text, html = parts.bodies(message)
    return "\n".join([_field(message, "Subject"), text or "", words.of_html(html) if html else ""])


def _field(message: reading.RawMessage, name: str) -> str:
    return (reading.fields(message, name) or "")[:LONGEST_TEXT]


def _preview(message: reading.RawMessage) -> str:
    text, html = parts.bodies(message, longest=_LONGEST_PREVIEWED)
    if not (text and text.strip()) and html:
        text = words.of_html(html)
    return " ".join((text or "").split())[:LONGEST_PREVIEW]
