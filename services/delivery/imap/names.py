"""Folder names on the wire (RFC 3501 section 5.1.3): modified UTF-7, read whatever comes.

pymap's own decoder never ends where a shift is not ended, and fails where one is spoilt: one line of a client keeps
the whole server busy. What cannot be decoded here stands for itself; no folder has such a name.
"""

import re

from pymap.parsing.command import auth
from pymap.parsing.specials import mailbox

_SHIFT = re.compile(rb"&([A-Za-z0-9+,]*)-")


def decode(name: bytes) -> str:
    """Return a name as people write it."""
    decoded = ""
    end = 0
    for shift in _SHIFT.finditer(name):
        decoded += name[end : shift.start()].decode("latin-1") + _shifted(shift)
        end = shift.end()
    return decoded + name[end:].decode("latin-1")


def read_names_with_this() -> None:
    """Have pymap's parsers decode names so."""
    for parser in (auth, mailbox):
        parser.modutf7_decode = decode  # type: ignore[attr-defined]


def _shifted(shift: re.Match[bytes]) -> str:
    if not shift[1]:
        return "&"
    try:
        decoded = (b"+" + shift[1].replace(b",", b"/") + b"-").decode("utf-7")
        decoded.encode()  # half a surrogate pair is no text
    except UnicodeError:
        return shift[0].decode("ascii")
    return decoded
