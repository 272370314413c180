"""What lists and reports show of a message, read once when it is accepted."""

from dataclasses import dataclass


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
