"""Texts out of mail: whatever bytes and charsets they claim, what comes out is text that PostgreSQL can store."""

import codecs
import re
from email.errors import HeaderParseError
from email.header import decode_header

LONGEST_HEADER_TEXT = 32_000
"""Characters of one header field that are looked at; what follows is cut off."""

_MOST_ENCODED_WORDS = 1_000

# What senders mean by these names is the larger set that their programs write (WHATWG Encoding Standard, section 4.2).
_MEANT = {
    "ascii": "utf-8",
    "iso8859-1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "hz": "hz",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
}
# Python calls these text encodings too; in mail they are mischief: quadratic, or an escape language.
_NO_CHARSETS = {
    "idna",
    "punycode",
    "unicode-escape",
    "raw-unicode-escape",
    "unicode_escape",
    "raw_unicode_escape",
    "undefined",
}
_FALLBACK = "cp1252"
_FOLD = re.compile(r"[\r\n]+[ \t]*|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def storable(text: str) -> str:
    """Return the text without NUL and lone surrogates, which PostgreSQL's `text` cannot hold."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def decode(content: bytes, charset: str | None) -> str:
    """Decode a text whose charset may be missing, unknown or wrong; never fails.

    The declared charset is believed when the bytes fit it. Otherwise UTF-8 is tried, then the declared one with
    replacement characters.
    """
    declared = _codec(charset)
    for attempt in (declared, "utf-8"):
        if attempt is not None:
            try:
                return storable(content.decode(attempt))
            except (UnicodeError, ValueError):
                continue
    return storable(content.decode(declared or _FALLBACK, "replace"))


def _codec(charset: str | None) -> str | None:
    if not charset or len(charset) > 40 or not charset.isascii():  # noqa: PLR2004 - longer than any charset's name
        return None
    try:
        found = codecs.lookup(charset.strip())
        b"ab".decode(found.name, "replace")  # LookupError for what is no text encoding, such as zip
    except (LookupError, ValueError):
        return None
    name = _MEANT.get(found.name, found.name)
    return None if name in _NO_CHARSETS else name


def recovered(value: str) -> str:
    """Turn the surrogates by which the email package carries raw 8-bit octets into the text they most likely are."""
    if value.isascii():
        return value
    try:
        octets = value.encode("ascii", "surrogateescape")
    except UnicodeEncodeError:
        return storable(value)
    return decode(octets, None)


def header_text(value: str) -> str:
    """Decode a raw header field value for people: RFC 2047 words, raw 8-bit octets, folding; never fails."""
    value = _FOLD.sub(" ", recovered(value[:LONGEST_HEADER_TEXT]))
    if "=?" in value and value.count("=?") <= _MOST_ENCODED_WORDS:
        value = _decode_words(value)
    return storable(_FOLD.sub(" ", value)).strip()


def _decode_words(value: str) -> str:
    try:
        pieces = decode_header(value)
    except (HeaderParseError, ValueError, IndexError):
        return value
    decoded: list[str] = []
    for piece, charset in pieces:
        # the package hands back plain stretches in its own raw form, as text when there was no encoded word at all
        if isinstance(piece, str):
            decoded.append(piece)
        elif charset is None:
            decoded.append(piece.decode("raw-unicode-escape", "replace"))
        else:
            decoded.append(decode(piece, charset))
    return "".join(decoded)
