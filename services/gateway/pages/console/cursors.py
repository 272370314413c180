"""Which part of a list a page shows, read from its address; what cannot be one begins at the beginning."""

from flask import request

LONGEST_TEXT = 400
"""Characters of a text; an address is shorter."""
_LONGEST = 19
_HIGHEST = 2**63 - 1


def number(name: str) -> int | None:
    """Return a cursor that is a whole number; None where the address has none that can be."""
    given = request.args.get(name, "")
    if not (given.isascii() and given.isdecimal() and len(given) <= _LONGEST):
        return None
    return value if 0 < (value := int(given)) <= _HIGHEST else None


def text(name: str) -> str:
    """Return a text to look for, or a place in a list by address; what a database cannot hold is left out."""
    return request.args.get(name, "").replace("\0", "").strip()[:LONGEST_TEXT]
