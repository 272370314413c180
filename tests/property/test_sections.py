"""Where parts lie in a message, for messages of every shape and for octets of no shape at all."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mailrecall.mime import parts, reading, sections
from mailrecall.mime.sections import Part, Span
from services.delivery.imap import structure

NEWLINES = st.sampled_from([b"\r\n", b"\n"])
TEXTS = st.lists(st.sampled_from([b"Hello", b"", b"--", b"--x", b"From me", b"\xff\x00", b"a: b"]), max_size=4)
LEAF_HEADERS = st.sampled_from(
    [
        [],
        [b"Content-Type: text/plain; charset=utf-8"],
        [b"Content-Type: text/html"],
        [b"Content-Type: application/pdf; name=a.pdf", b"Content-Transfer-Encoding: base64"],
        [b"Content-Type: text/plain", b"Content-Disposition: attachment; filename*=utf-8''%e4%bc%9a.txt"],
        [b"Content-Type: image/png", b"Content-ID: <1@x>", b"Content-Language: en"],
    ]
)


def joined(headers: list[bytes], body: bytes, newline: bytes) -> bytes:
    return newline.join([*headers, b"", body])


@st.composite
def leaf(draw: st.DrawFn) -> bytes:
    newline = draw(NEWLINES)
    return joined(draw(LEAF_HEADERS), newline.join(draw(TEXTS)), newline)


@st.composite
def around(draw: st.DrawFn, children: st.SearchStrategy[bytes]) -> bytes:
    newline, boundary = draw(NEWLINES), draw(st.sampled_from([b"one", b"two", b"three", b"with space"]))
    kind = draw(st.sampled_from([b"mixed", b"alternative", b"related", b"digest"]))
    pieces = [draw(st.sampled_from([b"", b"preamble"]))]
    for child in draw(st.lists(children, max_size=3)):
        pieces += [b"--" + boundary, child]
    if draw(st.booleans()):
        pieces += [b"--" + boundary + b"--", draw(st.sampled_from([b"", b"epilogue"]))]
    header = b'Content-Type: multipart/%b; boundary="%b"' % (kind, boundary)
    return joined([header], newline.join(pieces), newline)


@st.composite
def enclosing(draw: st.DrawFn, children: st.SearchStrategy[bytes]) -> bytes:
    return joined([b"Content-Type: message/rfc822"], draw(children), draw(NEWLINES))


messages = st.recursive(leaf(), lambda inner: around(inner) | enclosing(inner), max_leaves=8).map(
    lambda part: b"Subject: Figures\r\nFrom: a@example.org, B <b@x>\r\nDate: nonsense\r\n" + part
)


def check(part: Part, within: Span) -> None:
    assert within.start <= part.header.start <= part.header.end == part.body.start <= part.body.end <= within.end
    position = part.body.start
    for child in part.children:
        assert position <= child.header.start
        check(child, part.body)
        position = child.body.end
    if part.enclosed is not None:
        assert part.enclosed.whole == part.body
        check(part.enclosed, part.body)


def check_written(octets: bytes) -> None:
    """Parentheses balance outside of quoted texts and literals, and nothing breaks a line but a literal."""
    depth, position = 0, 0
    token = re.compile(rb'"(?:[^"\\\r\n]|\\.)*"|\{(\d+)\}\r\n|[()]|[^"(){}\r\n]')
    while position < len(octets):
        match = token.match(octets, position)
        assert match is not None, octets[position : position + 40]
        position = match.end() + int(match[1] or b"0")
        depth += {b"(": 1, b")": -1}.get(match[0], 0)
        assert depth > 0 or position == len(octets)
    assert depth == 0


def check_all(content: bytes) -> None:
    message = sections.parse(content)
    assert message.whole == Span(0, len(content))
    check(message, message.whole)
    check_written(structure.envelope(message.fields))
    check_written(structure.structure(content, message, extended=False))
    check_written(structure.structure(content, message, extended=True))


@given(content=st.binary(max_size=400))
def test_octets_of_any_kind_have_a_structure(content: bytes):
    check_all(content)


@given(content=messages)
def test_messages_of_every_shape_have_a_structure(content: bytes):
    check_all(content)


@given(content=messages)
def test_attachments_are_those_that_readers_see(content: bytes):
    assert len(sections.parse(content).attachments()) == parts.count(reading.parse(content))


@given(content=messages, numbers=st.lists(st.integers(1, 4), max_size=4))
def test_a_section_lies_in_its_message(content: bytes, numbers: list[int]):
    message = sections.parse(content)
    found = sections.find(message, numbers)
    assert found is None or (found.header.start >= 0 and found.body.end <= len(content))


def test_a_message_of_more_parts_than_any_has_is_one_part():
    content = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * (sections.MOST_PARTS + 1)
    message = sections.parse(content)
    assert message.children == ()
    assert message.whole.of(content) == content


def test_parts_in_parts_without_end_are_cut_short():
    content = b""
    for level in range(200):
        content = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) + content
    check_all(content)
    enclosed = b"Content-Type: message/rfc822\r\n\r\n" * 500
    check_all(enclosed)
