"""Messages as POP3 puts them on the wire."""

import re

# RFC 5322 section 2.2, with the white space that old mail has before the colon
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_CONTINUED = (b" ", b"\t")
_EMPTY = (b"\r\n", b"\n")


def stuffed(content: bytes) -> bytes:
    """Return a message as the lines of a reply, without the one that ends it (RFC 1939 section 3).

    A line ends at CRLF, and clients read up to LF: a dot after a bare LF is doubled too. Otherwise a message could make
    a client take its text for the end of the reply, and what follows for the replies to its next commands.
    """
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    if content.startswith(b"."):
        content = b"." + content
    return content.replace(b"\n.", b"\n..")


def top(content: bytes, lines: int) -> bytes:
    """Return a message's header, the empty line after it, and the first lines of its body (RFC 1939 section 7).

    The header ends where a line is no field, even without an empty line: what follows is text, which TOP with no lines
    must not show (R7).
    """
    position = 0
    while position < len(content):
        end = content.find(b"\n", position) + 1 or len(content)
        line = content[position:end]
        if line in _EMPTY:
            return _joined(content[:position], _first(content, end, lines))
        if not (line.startswith(_CONTINUED) or _FIELD.match(line)):
            break
        position = end
    return _joined(content[:position], _first(content, position, lines))


def _joined(header: bytes, text: bytes) -> bytes:
    if header and not header.endswith(b"\n"):
        header += b"\r\n"
    return header + b"\r\n" + text


def _first(content: bytes, start: int, lines: int) -> bytes:
    end = start
    for _ in range(lines):
        if end >= len(content):
            break
        end = content.find(b"\n", end) + 1 or len(content)
    return content[start:end]
