"""Header fields for new messages: folded, encoded after RFC 2047, and with no way to smuggle in a line of one's own."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from email.header import Header

from mailrecall.domain.addresses import Address, AddressError

_LINE = 76
_LONGEST_PLAIN_WORD = 400
_FOLDABLE = re.compile(r"(?<=\S) (?=\S)")
_PHRASE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~ ")


class CompositionError(ValueError):
    """The message cannot be written as asked; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mail address with the name of its owner, which may be empty."""

    address: str
    name: str = ""


def line_of(what: str, value: str) -> str:
    """Return a text that may stand in a header field.

    Raises:
        CompositionError: it has a line break or another character that no header field can have.
    """
    for character in value:
        category = unicodedata.category(character)
        if character in "\r\n" or category in ("Zl", "Zp"):
            raise CompositionError(f"{what} must be a single line: take the line breaks out of it.")
        if (category == "Cc" and character != "\t") or category == "Cs":
            raise CompositionError(f"{what} has a control character (U+{ord(character):04X}): take it out.")
    return value


def unstructured(name: str, value: str) -> bytes:
    """Write a field of free text, such as Subject."""
    return _field(name, _encoded(line_of(name, value), indent=len(name) + 2))


def plain(name: str, value: str) -> bytes:
    """Write a field whose value is ASCII and already in its final form, such as Message-ID; folded between words."""
    if not line_of(name, value).isascii():
        raise CompositionError(f"{name} must consist of ASCII characters.")
    return _field(name, _folded(value, len(name) + 2))


def addresses(name: str, mailboxes: Sequence[Mailbox]) -> bytes:
    """Write a field of addresses, each on a line of its own so that none grows too long.

    Raises:
        CompositionError: one of them is no address, or a name has characters that it cannot have.
    """
    return _field(name, ",\r\n ".join(_mailbox(mailbox) for mailbox in mailboxes))


def checked_address(text: str) -> str:
    """Return an address as it was given, once it is known to be one.

    Raises:
        CompositionError: it is none.
    """
    try:
        Address.parse(text)
    except AddressError as error:
        raise CompositionError(str(error)) from None
    return line_of("An address", text.strip())


def _mailbox(mailbox: Mailbox) -> str:
    address = checked_address(mailbox.address)
    name = " ".join(line_of("A name", mailbox.name).split())
    if not name:
        return address
    if not name.isascii() or "=?" in name or len(name) > _LONGEST_PLAIN_WORD:
        return f"{_encoded(name, indent=1, force=True)}\r\n <{address}>"
    if not set(name) <= _PHRASE:
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{_folded(name, 1)}\r\n <{address}>" if len(name) + len(address) > _LINE else f"{name} <{address}>"


def _encoded(value: str, *, indent: int, force: bool = False) -> str:
    """Return the value as ASCII; what already looks encoded is encoded again, so that it is read as it was written."""
    is_plain = value.isascii() and "=?" not in value and value == value.strip()
    if is_plain and not force and max(map(len, value.split(" ")), default=0) <= _LONGEST_PLAIN_WORD:
        return _folded(value, indent)
    header = Header(charset="utf-8", maxlinelen=_LINE, header_name="x" * indent)
    header.append(value, "utf-8")
    return header.encode(linesep="\r\n")


def _folded(value: str, indent: int) -> str:
    """Fold between words, where the white space is a single space; unfolding gives the value back unchanged."""
    first, *words = _FOLDABLE.split(value)
    folded, column = first, indent + len(first)
    for word in words:
        if column + 1 + len(word) > _LINE:
            folded, column = f"{folded}\r\n {word}", 1 + len(word)
        else:
            folded, column = f"{folded} {word}", column + 1 + len(word)
    return folded


def _field(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode()
