"""Which part of a list a page shows, read from its address; what cannot be one begins at the beginning."""

from flask import request

_LONGEST = 19
_HIGHEST = 2**63 - 1


def number(name: str) -> int | None:
    """Return a cursor that is a whole number; None where the address has none that can be."""
    given = request.args.get(name, "")
    if not (given.isascii() and given.isdecimal() and len(given) <= _LONGEST):
        return None
    return value if 0 < (value := int(given)) <= _HIGHEST else None
