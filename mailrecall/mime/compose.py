"""New messages: RFC 5322 and MIME by the standard email package, pure ASCII on the wire unless an address is not."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from mailrecall.mime import headers
from mailrecall.mime.headers import CompositionError, Mailbox

__all__ = ["Composition", "CompositionError", "Mailbox", "NewAttachment", "compose", "new_message_id"]

_ASCII = SMTP.clone(cte_type="7bit")
_CONTENT_TYPE = re.compile(r"(?P<main>[A-Za-z0-9!#$&^_.+-]{1,127})/(?P<sub>[A-Za-z0-9!#$&^_.+-]{1,127})")
_IDENTIFIER = re.compile(r"<[^<>\s]{1,900}>")


@dataclass(frozen=True, slots=True)
class NewAttachment:
    """A file to be attached."""

    filename: str
    content_type: str
    content: bytes
    charset: str | None = None
    """Of text; None leaves programs to find out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """A message as its author wrote it. Those in Bcc are in the envelope only and never here."""

    from_address: str
    from_name: str = ""
    to: Sequence[Mailbox] = ()
    cc: Sequence[Mailbox] = ()
    subject: str = ""
    text: str = ""
    html: str | None = None
    attachments: Sequence[NewAttachment] = ()
    in_reply_to: str | None = None
    """The Message-ID of the message answered, with its angle brackets."""
    forwarded: bytes | None = None
    """A message to enclose as it is (message/rfc822)."""
    auto_submitted: bool = False
    """Written by a program: no vacation notice or other robot shall answer (RFC 3834)."""


def new_message_id(hostname: str) -> str:
    """Return a Message-ID that nobody else has, with its angle brackets (RFC 5322 section 3.6.4)."""
    return f"<{secrets.token_urlsafe(18)}@{hostname}>"


def compose(composition: Composition, *, now: datetime, hostname: str) -> bytes:
    """Write a message, with Date and Message-ID, CRLF line ends.

    Raises:
        CompositionError: an address is none, or a name, subject or text has characters that mail cannot carry.
    """
    return _fields(composition, now, hostname) + _content(composition)


def _fields(composition: Composition, now: datetime, hostname: str) -> bytes:
    author = Mailbox(composition.from_address, composition.from_name)
    fields = [
        headers.plain("Date", format_datetime(now)),
        headers.plain("Message-ID", new_message_id(hostname)),
        headers.addresses("From", [author]),
    ]
    if composition.to:
        fields.append(headers.addresses("To", composition.to))
    if composition.cc:
        fields.append(headers.addresses("Cc", composition.cc))
    if not composition.to and not composition.cc:
        fields.append(b"To: undisclosed-recipients:;\r\n")
    fields.append(headers.unstructured("Subject", composition.subject))
    if composition.in_reply_to:
        if not _IDENTIFIER.fullmatch(composition.in_reply_to.strip()):
            raise CompositionError("The Message-ID that is answered must look like <name@host>.")
        fields.append(headers.plain("In-Reply-To", composition.in_reply_to.strip()))
        fields.append(headers.plain("References", composition.in_reply_to.strip()))
    if composition.auto_submitted:
        fields.append(headers.plain("Auto-Submitted", "auto-generated"))
    return b"".join(fields)


def _content(composition: Composition) -> bytes:
    message = EmailMessage(policy=_ASCII)
    message.set_content(_storable_text("The text", composition.text))
    if composition.html is not None:
        message.add_alternative(_storable_text("The HTML", composition.html), subtype="html")
    for attachment in composition.attachments:
        _attach(message, attachment)
    if composition.forwarded is None:
        return message.as_bytes()
    return _enclosing(message, composition.forwarded)


def _attach(message: EmailMessage, attachment: NewAttachment) -> None:
    filename = headers.line_of("A file name", attachment.filename).strip()
    if not filename:
        raise CompositionError("An attachment needs a file name.")
    kind = _CONTENT_TYPE.fullmatch(attachment.content_type)
    if kind is None:
        raise CompositionError(f"'{attachment.content_type[:80]}' is no content type such as application/pdf.")
    # base64 is not allowed for these, and what they contain would mix with the structure of this message
    composite = kind["main"].lower() in ("multipart", "message")
    main, sub = ("application", "octet-stream") if composite else (kind["main"], kind["sub"])
    params = {"charset": attachment.charset} if attachment.charset else {}
    message.add_attachment(attachment.content, maintype=main, subtype=sub, filename=filename, params=params)


def _enclosing(message: EmailMessage, enclosed: bytes) -> bytes:
    """Attach a message to this one, byte for byte.

    The package would write the enclosed message anew, and no transfer encoding is allowed for it (RFC 2046 section
    5.2.1). So the package writes a mark that nobody can know, and the bytes take its place.
    """
    mark = f"enclosed-{secrets.token_hex(24)}"
    if message.get_content_type() != "multipart/mixed":
        message.make_mixed()
    part = EmailMessage(policy=_ASCII)
    part["Content-Type"] = "message/rfc822"
    part["Content-Disposition"] = 'attachment; filename="forwarded-message.eml"'
    part["Content-Transfer-Encoding"] = "7bit" if enclosed.isascii() else "8bit"
    part.set_payload(mark)
    message.attach(part)
    message.set_boundary(f"=_{secrets.token_hex(24)}")
    if not enclosed.isascii():
        message["Content-Transfer-Encoding"] = "8bit"
    return message.as_bytes().replace(mark.encode(), enclosed, 1)


def _storable_text(what: str, text: str) -> str:
    if "\x00" in text:
        raise CompositionError(f"{what} has a NUL character: take it out.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CompositionError(f"{what} has half a character (a lone surrogate): write it again.") from None
    return text
