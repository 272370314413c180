"""Whatever the bytes: reading never fails, and what it returns can be stored."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mailrecall.mime import trace
from mailrecall.mime.bounce import Undelivered, bounce
from mailrecall.mime.compose import Composition, Mailbox, NewAttachment, compose
from mailrecall.mime.parts import attachment_content, attachments, readable, safe_filename
from mailrecall.mime.summary import LONGEST_PREVIEW, summarise

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
REAL = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "messages").glob("*.eml"))]

LINE_ENDS = [b"\r\n", b"\n", b"\r", b"\r\n\r\n"]
PUNCTUATION = [b" ", b"\t", b"\0", b";", b'"', b"=", b"'", b"*", b"(", b"<", b"--", b"--b", b"--b--"]
FIELDS = [
    *(b"Subject: ", b"From: ", b"To: ", b"Date: ", b"Message-ID: ", b"MIME-Version: 1.0\r\n", b"From me now\r\n"),
    *(b"Content-Type: ", b"Content-Disposition: attachment; ", b"Content-Transfer-Encoding: "),
]
TYPES = [
    *(b"multipart/mixed; boundary=b", b"multipart/digest; boundary=b", b"message/rfc822", b"message/external-body"),
    *(b"message/delivery-status", b"text/html", b"text/plain; charset="),
]
CHARSETS = [b"utf-16", b"utf-7", b"idna", b"unicode-escape", b"hex", b"big5", b"iso-2022-jp", b"gb18030"]
PARAMETERS = [
    *(b"filename=", b"filename*=", b"filename*0*=", b"filename*1=", b"name="),
    *(b"utf-8''%e4%bc", b"x-unknown'zh'%ff"),
]
ENCODINGS = [
    *(b"base64\r\n", b"quoted-printable\r\n", b"uuencode\r\n", b"begin 644 x\r\n", b"4pyT", b"=0D=0A"),
    *(b"=?utf-8?b?", b"=?gb2312?q?", b"=?utf-8*en?q?", b"?=", b"=?=", b"\xe4\xbd\xa0", b"\xff\xfe", b"\xed\xa0\x80"),
]
MARKUP = [b"<html><script>", b"<!--", b"<![CDATA[", b"<![", b"&#x110000;", b"&#0;", b"&#55296;", b"</"]
DATES = [b"99 Feb 20206 25:61:61 +9999", b"Mon, 2 Mar 2026 09:00:00 +0100"]
TOKENS = st.sampled_from(
    [*LINE_ENDS, *PUNCTUATION, *FIELDS, *TYPES, *CHARSETS, *PARAMETERS, *ENCODINGS, *MARKUP, *DATES]
)

assembled = st.lists(TOKENS | st.binary(max_size=8), max_size=60).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real message with pieces cut out, doubled or put in."""
    content = draw(st.sampled_from(REAL))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 40)))
        piece = draw(TOKENS | st.binary(max_size=12) | st.just(content[start:end] * 2))
        content = content[:start] + piece + content[end:]
    return content


anything = st.binary(max_size=400) | assembled | mutated()


def storable(value: Any) -> None:
    """PostgreSQL's text holds neither NUL nor half a character."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            storable(getattr(value, field.name))
    elif isinstance(value, str):
        assert "\0" not in value
        value.encode()


@given(anything)
def test_a_summary_is_always_there(content: bytes):
    summary = summarise(content)
    storable(summary)
    assert len(summary.preview) <= LONGEST_PREVIEW
    for text in (summary.subject, summary.from_header, summary.to_header, summary.preview):
        assert not set("\r\n") & set(text)
    assert summary.attachments == len(attachments(content))


@given(anything)
def test_a_message_can_always_be_read(content: bytes):
    seen = readable(content)
    storable(seen)
    if seen.date is not None:
        assert seen.date.astimezone(UTC).utcoffset() is not None


@given(anything)
def test_attachments_can_always_be_fetched(content: bytes):
    for expected, attachment in enumerate(attachments(content)):
        storable(attachment)
        again, octets = attachment_content(content, attachment.index)
        assert again == attachment
        assert attachment.index == expected
        assert attachment.size == len(octets)
        assert attachment.filename
        assert safe_filename(attachment.filename) == attachment.filename
        assert "/" in attachment.content_type


@given(anything)
def test_any_message_can_be_forwarded_and_bounced(content: bytes):
    composition = Composition(from_address="a@example.org", text="see below", forwarded=content)
    forward = compose(composition, now=NOW, hostname="mx.example.org")
    (enclosed,) = attachments(forward)
    assert enclosed.content_type == "message/rfc822"
    assert attachment_content(forward, 0) == (enclosed, content)
    undelivered = Undelivered(
        sender="a@example.org", content=content, failures={"b@example.net": "550 no"}, arrived_at=NOW
    )
    octets = bounce(undelivered, now=NOW, hostname="mx.example.org")
    assert octets.isascii()
    assert len(attachments(octets)) == 2


@given(anything)
def test_trace_fields_can_be_told_for_any_message(content: bytes):
    assert trace.hops(content) >= 0
    complete = trace.missing_fields(content, now=NOW, hostname="mx.example.org") + content
    assert trace.missing_fields(complete, now=NOW, hostname="mx.example.org") == b""


lines = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120)


@given(
    subject=lines,
    name=lines,
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300),
)
def test_what_was_written_is_read(subject: str, name: str, text: str):
    composition = Composition(
        from_address="a@example.org", from_name=name, to=[Mailbox("b@example.org", name)], subject=subject, text=text
    )
    content = compose(composition, now=NOW, hostname="mx.example.org")
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    fields = content.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert [line.partition(b":")[0] for line in fields if line[:1] not in (b" ", b"\t")] == [
        *(b"Date", b"Message-ID", b"From", b"To", b"Subject"),
        *(b"Content-Type", b"Content-Transfer-Encoding", b"MIME-Version"),
    ]
    seen = readable(content)
    assert seen.subject == subject.strip()
    assert seen.text is not None
    assert "\n".join(seen.text.splitlines()).strip() == "\n".join(text.splitlines()).strip()


@given(filename=lines.filter(str.strip), octets=st.binary(max_size=300))
def test_a_file_comes_out_as_it_went_in(filename: str, octets: bytes):
    file = NewAttachment(filename, "application/octet-stream", octets)
    composition = Composition(from_address="a@example.org", attachments=[file])
    content = compose(composition, now=NOW, hostname="mx.example.org")
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert attachment_content(content, 0)[1] == octets
