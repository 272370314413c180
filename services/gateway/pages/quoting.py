"""What a reply takes over from the message that it answers."""

import html
import re
from email.utils import getaddresses

from mailrecall.mime.parts import Readable

_LONGEST_QUOTE = 20_000
_BREAKS = re.compile(r"<(?:br|/p|/div|/tr|/h[1-6]|/li)\b[^>]*>", re.IGNORECASE)
_HIDDEN = re.compile(r"<(style|script|head|title)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAGS = re.compile(r"<[^>]*>")


def addresses(header: str) -> str:
    """Return the addresses of a header field, without names."""
    try:
        found = getaddresses([header])
    except (ValueError, IndexError, TypeError):
        return ""
    return ", ".join(address for _, address in found if "@" in address)


def answer_to(subject: str) -> str:
    """Return the subject of an answer."""
    line = " ".join("".join(c if c.isprintable() else " " for c in subject).split())
    return line if line.lower().startswith(("re:", "回复:", "回复：")) else f"Re: {line}".strip()


def quoted(readable: Readable, introduction: str) -> str:
    """Return a message's text as a reply quotes it, below room for the answer."""
    text = readable.text if readable.text is not None else _plain(readable.html or "")
    lines = text[:_LONGEST_QUOTE].replace("\r\n", "\n").replace("\r", "\n").strip("\n").split("\n")
    return "\n\n" + introduction + "\n" + "\n".join(f"> {line}".rstrip() for line in lines) + "\n"


def _plain(markup: str) -> str:
    """Return roughly what HTML says; it only has to be read, and goes out as text."""
    text = _TAGS.sub("", _BREAKS.sub("\n", _HIDDEN.sub("", markup[: 20 * _LONGEST_QUOTE])))
    lines = [" ".join(line.split()) for line in html.unescape(text).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
