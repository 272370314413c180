"""Messages as POP3 puts them on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.pop3.wire import stuffed, top

OCTETS = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"a", b":", b" ", b"\x00", b"\xff"])).map(
    b"".join
)


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b"a\r\n", b"a\r\n"),
        (b".\r\n", b"..\r\n"),
        (b"a\r\n.\r\n.b\r\n..\r\n", b"a\r\n..\r\n..b\r\n...\r\n"),
        (b"a\n.\r\nb\r\n", b"a\n..\r\nb\r\n"),
        (b"a\r.\r\n", b"a\r.\r\n"),
        (b"a", b"a\r\n"),
        (b"a\n", b"a\n\r\n"),
        (b"", b"\r\n"),
    ],
)
def test_dots_are_doubled_where_a_line_begins(content, sent):
    assert stuffed(content) == sent


@given(OCTETS)
def test_no_content_can_end_the_reply_or_be_changed_by_it(content):
    lines = stuffed(content).split(b"\n")
    assert lines.pop() == b"", "the last line ends with CRLF"
    assert not {b".", b".\r"} & set(lines)
    received = b"".join((line[1:] if line.startswith(b"..") else line) + b"\n" for line in lines)
    assert received == content + (b"" if content.endswith(b"\r\n") else b"\r\n")


@pytest.mark.parametrize(
    ("content", "lines", "shown"),
    [
        (b"A: b\r\n\r\none\r\ntwo\r\n", 0, b"A: b\r\n\r\n"),
        (b"A: b\r\n\r\none\r\ntwo\r\n", 1, b"A: b\r\n\r\none\r\n"),
        (b"A: b\r\n\r\none\r\ntwo\r\n", 9, b"A: b\r\n\r\none\r\ntwo\r\n"),
        (b"A: b\r\n folded\r\n\tagain\r\n\r\none\r\n", 0, b"A: b\r\n folded\r\n\tagain\r\n\r\n"),
        (b"A: b\r\n\r\n\r\n\r\nx\r\n", 1, b"A: b\r\n\r\n\r\n"),
        (b"A: b\n\none\ntwo\n", 1, b"A: b\n\r\none\n"),
        # no header at all, and one that breaks off: what follows is text
        (b"only text\r\nmore: of it\r\n", 0, b"\r\n"),
        (b"only text\r\nmore: of it\r\n", 1, b"\r\nonly text\r\n"),
        (b"A: b\r\ntext\r\nC: d\r\n\r\nx\r\n", 0, b"A: b\r\n\r\n"),
        (b"A: b", 0, b"A: b\r\n\r\n"),
        (b"A: b\r\n", 5, b"A: b\r\n\r\n"),
        (b"\r\ntext\r\n", 0, b"\r\n"),
        (b"", 3, b"\r\n"),
    ],
)
def test_top_is_the_header_and_so_many_lines(content, lines, shown):
    assert top(content, lines) == shown


@given(header=OCTETS, text=OCTETS)
def test_top_without_lines_shows_nothing_after_the_first_empty_line(header, text):
    whole = header + b"\r\n\r\n" + text
    shown = top(whole, 0)
    assert shown.endswith(b"\r\n")
    assert len(shown) <= len(header) + 4


@given(OCTETS, st.integers(0, 5))
def test_more_lines_never_show_less(content, lines):
    assert top(content, lines + 1).startswith(top(content, lines))
