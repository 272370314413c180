"""ENVELOPE and BODYSTRUCTURE (RFC 3501 section 7.4.2), of any octets that call themselves a message.

pymap has its own, which stop at a date that is none, count a part's header as part of its body, and give the
disposition as one string; so these stand in their place.
"""

from collections.abc import Sequence
from datetime import datetime
from email.utils import getaddresses
from typing import Any, cast
from urllib.parse import quote_from_bytes

from pymap.bytes import Writeable
from pymap.parsing.primitives import List
from pymap.parsing.response.fetch import BodyStructure, EnvelopeStructure

from mailrecall.mime import parts, reading, texts
from mailrecall.mime.reading import RawMessage
from mailrecall.mime.sections import Part

_LONGEST_QUOTED = 900
_MOST_ADDRESSES = 1_000
_NIL = b"NIL"


class _Date:
    """What SEARCH SENTBEFORE and its kin ask of a date."""

    def __init__(self, moment: datetime) -> None:
        self.datetime = moment


class Envelope(EnvelopeStructure):
    """A message's ENVELOPE, and what SEARCH asks of it: decoded texts."""

    def __init__(self, fields: RawMessage) -> None:
        date = parts.date_of(reading.fields(fields, "Date") or "")

        def people(name: str) -> Any:
            return [text] if (text := reading.fields(fields, name)) else None

        super().__init__(
            cast("Any", _Date(date) if date else None),
            cast("Any", reading.fields(fields, "Subject")),
            people("From"),
            people("Sender"),
            people("Reply-To"),
            people("To"),
            people("Cc"),
            people("Bcc"),
            cast("Any", reading.fields(fields, "In-Reply-To")),
            cast("Any", reading.fields(fields, "Message-ID")),
        )
        self._written = envelope(fields)

    def write(self, writer: Any) -> None:
        """Write it as the protocol has it."""
        writer.write(self._written)

    def __bytes__(self) -> bytes:
        return self._written


class Structure(BodyStructure):
    """A message's BODY and BODYSTRUCTURE."""

    def __init__(self, content: bytes, message: Part) -> None:
        super().__init__("text", "plain", None, None, None, None)
        self._plain = structure(content, message, extended=False)
        self._extended = structure(content, message, extended=True)

    def write(self, writer: Any) -> None:
        """Write the form without extension data."""
        writer.write(self._plain)

    def __bytes__(self) -> bytes:
        return self._plain

    @property
    def extended(self) -> List:
        """The form with extension data."""
        return cast("List", Writeable.wrap(self._extended))


def envelope(fields: RawMessage) -> bytes:
    """Return the ENVELOPE of a message: header fields as they stand, encoded words included."""
    senders = _addresses(fields, "From")
    return _list(
        nstring(raw_field(fields, "Date")),
        nstring(raw_field(fields, "Subject")),
        senders,
        _addresses(fields, "Sender", senders),
        _addresses(fields, "Reply-To", senders),
        _addresses(fields, "To"),
        _addresses(fields, "Cc"),
        _addresses(fields, "Bcc"),
        nstring(raw_field(fields, "In-Reply-To")),
        nstring(raw_field(fields, "Message-ID")),
    )


def structure(content: bytes, part: Part, *, extended: bool) -> bytes:
    """Return the BODYSTRUCTURE of a part, or its BODY."""
    kind, _, subtype = part.content_type.partition("/")
    fields = part.fields
    if part.children:
        children = b"".join(structure(content, child, extended=extended) for child in part.children)
        values = [children + b" " + nstring(subtype.encode("ascii", "replace"))]
        if extended:
            values += [_parameters(fields, "content-type"), *_extension(fields)]
        return _list(*values)
    values = [
        nstring(kind.encode("ascii", "replace")),
        nstring((subtype or "plain").encode("ascii", "replace")),
        _parameters(fields, "content-type"),
        nstring(raw_field(fields, "Content-ID")),
        nstring(raw_field(fields, "Content-Description")),
        nstring((raw_field(fields, "Content-Transfer-Encoding") or b"7bit").strip()),
        _number(part.body.end - part.body.start),
    ]
    if part.enclosed is not None:
        enclosed = part.enclosed
        values += [envelope(enclosed.fields), structure(content, enclosed, extended=extended)]
    if part.enclosed is not None or kind == "text":
        values.append(_number(_lines(part.body.of(content))))
    if extended:
        values += [nstring(raw_field(fields, "Content-MD5")), *_extension(fields)]
    return _list(*values)


def raw_field(fields: RawMessage, name: str) -> bytes | None:
    """Return a header field's octets, unfolded; None when there is none."""
    for other, value in fields.raw_items():
        if other.lower() == name.lower():
            text = str(value)[: texts.LONGEST_HEADER_TEXT]
            return b"".join(text.encode("utf-8", "surrogateescape").splitlines()).strip()
    return None


def nstring(value: bytes | None) -> bytes:
    """Write a text as the protocol has it: NIL, quoted, or a literal."""
    if value is None:
        return _NIL
    value = value.replace(b"\0", b"\x80")  # no literal may have a NUL in it (RFC 3501 section 9)
    if len(value) <= _LONGEST_QUOTED and all(0x20 <= octet < 0x7F for octet in value):  # noqa: PLR2004 - printable
        return b'"' + value.replace(b"\\", rb"\\").replace(b'"', rb"\"") + b'"'
    return b"{%d}\r\n%b" % (len(value), value)


def _addresses(fields: RawMessage, name: str, default: bytes = _NIL) -> bytes:
    raw = raw_field(fields, name)
    if not raw:
        return default
    try:
        found = getaddresses([raw.decode("utf-8", "surrogateescape")])
    except Exception:  # noqa: BLE001 - what the package cannot read is nobody's address
        return default
    written = [_address(display, address) for display, address in found[:_MOST_ADDRESSES] if display or address]
    return b"(" + b"".join(written) + b")" if written else default


def _address(display: str, address: str) -> bytes:
    local, _, domain = address.rpartition("@") if "@" in address else (address, "", "")
    return _list(nstring(_octets(display) or None), _NIL, nstring(_octets(local)), nstring(_octets(domain)))


def _parameters(fields: RawMessage, header: str) -> bytes:
    try:
        found: list[Any] = (fields.get_params(header=header) or [])[1:]
    except Exception:  # noqa: BLE001 - unreadable parameters are none
        return _NIL
    written: list[bytes] = []
    for name, value in found:
        written += _parameter(str(name), value)
    return _list(*written) if written else _NIL


def _parameter(name: str, value: Any) -> tuple[bytes, bytes]:
    if isinstance(value, tuple):  # RFC 2231: put together from its pieces, and written in one
        charset, language, text = value
        octets = quote_from_bytes(_octets(str(text), "latin-1"))  # the package has the octets in it, undecoded
        return nstring(_octets(name) + b"*"), nstring(f"{charset or 'utf-8'}'{language or ''}'{octets}".encode())
    return nstring(_octets(name)), nstring(_octets(str(value)))


def _extension(fields: RawMessage) -> Sequence[bytes]:
    language = raw_field(fields, "Content-Language")
    return (
        _disposition(fields),
        nstring(language or None),
        nstring(raw_field(fields, "Content-Location") or None),
    )


def _disposition(fields: RawMessage) -> bytes:
    raw = raw_field(fields, "Content-Disposition")
    if not raw:
        return _NIL
    kind = raw.partition(b";")[0].strip().lower()
    return _list(nstring(kind), _parameters(fields, "content-disposition"))


def _octets(text: str, charset: str = "utf-8") -> bytes:
    try:
        return text.encode(charset, "surrogateescape")
    except (LookupError, UnicodeError):
        return text.encode("utf-8", "replace")


def _lines(body: bytes) -> int:
    return body.count(b"\n") + (not body.endswith(b"\n") and bool(body))


def _number(value: int) -> bytes:
    return b"%d" % value


def _list(*values: bytes) -> bytes:
    return b"(" + b" ".join(values) + b")"
