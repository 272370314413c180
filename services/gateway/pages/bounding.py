"""HTML made so that no parser takes long over it: nothing is nested very deeply, and no text is in very many pieces.

Parsers go through all open elements for many a tag, and the one that makes mail harmless copies a text anew for each
`&` in it: either takes time by the square of the length, which for a mail of a few MiB is hours.
"""

from collections import Counter
from typing import Final

from mailrecall.mime.words import MARKUP

DEEPEST: Final = 256
"""Elements that may be open at once; tables in tables of newsletters are some dozens deep."""
_MOST_PIECES: Final = 500

_NEVER_OPEN: Final = {
    # no content
    *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"),
    # end where the next of their kind begins
    *("p", "li", "option", "optgroup", "tr", "td", "th", "thead", "tbody", "tfoot", "caption", "colgroup"),
}


def bounded(html: str) -> str:
    """Return HTML without the tags that would open more than `DEEPEST` elements; their content stays."""
    kept: list[str] = []
    opened = Counter[str]()
    depth = position = 0
    for markup in MARKUP.finditer(html):
        kept.append(_in_pieces(html[position : markup.start()]))
        position = markup.end()
        name = (markup["name"] or "").lower()
        if name and name not in _NEVER_OPEN:
            if markup["end"]:
                closes = opened[name] > 0
                opened[name] -= closes
                depth -= closes
            elif depth >= DEEPEST:
                continue
            else:
                opened[name] += 1
                depth += 1
        kept.append(markup[0])
    kept.append(_in_pieces(html[position:]))
    return "".join(kept)


def _in_pieces(text: str) -> str:
    """Divide a text by comments, which nobody sees, so that no part of it is copied very often."""
    if text.count("&") <= _MOST_PIECES:
        return text
    pieces = text.split("&")
    starts = range(0, len(pieces), _MOST_PIECES)
    return "<!---->&".join("&".join(pieces[start : start + _MOST_PIECES]) for start in starts)
