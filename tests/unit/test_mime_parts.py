"""The text of a message, and its attachments."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from unittest import mock

import pytest

from mailrecall.mime import reading
from mailrecall.mime.parts import (
    Attachment,
    attachment_content,
    attachment_contents,
    attachments,
    readable,
    safe_filename,
)
from mailrecall.mime.summary import summarise

MESSAGES = Path(__file__).parents[1] / "messages"


def content_of(name: str) -> bytes:
    return (MESSAGES / f"{name}.eml").read_bytes()


def test_every_spelling_of_a_file_name():
    assert attachments(content_of("attachments")) == [
        Attachment(0, "会议纪要.pdf", "application/pdf", 21),  # RFC 2231, in pieces
        Attachment(1, "résumé.doc", "application/octet-stream", 256),  # RFC 2047, where it does not belong
        Attachment(2, "passwd", "text/plain", 10),  # with folders
        Attachment(3, "numbers.csv", "text/csv", 5),  # inline, but a file
    ]
    assert attachments(content_of("raw-octets"))[0].filename == "bericht-ä.pdf"


def test_an_attachment_comes_out_as_it_went_in():
    _, octets = attachment_content(content_of("attachments"), 1)
    assert octets == bytes(range(256))


def test_all_attachments_come_out_of_a_message_taken_apart_once():
    content = content_of("attachments")
    one_by_one = [attachment_content(content, number) for number in range(4)]
    with mock.patch.object(reading, "parse", wraps=reading.parse) as parse:
        assert list(attachment_contents(content)) == one_by_one
    assert parse.call_count == 1


def test_there_is_no_other_attachment():
    with pytest.raises(LookupError, match="no attachment 4"):
        attachment_content(content_of("attachments"), 4)
    with pytest.raises(LookupError):
        attachment_content(content_of("attachments"), -1)


def test_the_text_is_no_attachment_and_an_attached_text_is_no_text():
    seen = readable(content_of("attachments"))
    assert seen.text == "See the files."
    assert seen.html is None


def test_text_and_html_beside_each_other():
    seen = readable(content_of("inline-image"))
    assert seen.text == "The plain words"
    assert seen.html is not None
    assert "<b>rich</b>" in seen.html
    (image,) = attachments(content_of("inline-image"))
    assert (image.content_type, image.filename) == ("image/png", "attachment-1.png")


def test_an_enclosed_message_is_one_attachment_byte_for_byte():
    content = content_of("enclosed")
    (enclosed,) = attachments(content)
    assert enclosed.content_type == "message/rfc822"
    assert enclosed.filename == "Minutes,   with  odd   spacing.eml"
    _, octets = attachment_content(content, 0)
    assert b"\r\n\r\n" + octets + b"\r\n--b1--" in content
    assert octets.startswith(b"From: carol@example.org\r\n")
    assert octets.endswith(b"\r\n--b2--")
    assert enclosed.size == len(octets)
    # and it can be read in turn
    assert readable(octets).text == "inner words"
    assert [attachment.filename for attachment in attachments(octets)] == ["inner.zip"]


def test_a_delivery_report_has_its_parts():
    content = content_of("report")
    assert [(a.filename, a.content_type) for a in attachments(content)] == [
        ("delivery-status.txt", "message/delivery-status"),
        ("headers.txt", "text/rfc822-headers"),
    ]
    assert attachment_content(content, 0)[1] == (
        b"Reporting-MTA: dns; mx.example.org\r\n\r\n"
        b"Final-Recipient: rfc822; nobody@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    )


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("Mon, 02 Mar 2026 09:00:00 +0100", datetime(2026, 3, 2, 9, tzinfo=timezone(timedelta(hours=1)))),
        ("2 Mar 2026 09:00:00 -0000", datetime(2026, 3, 2, 9, tzinfo=UTC)),
        ("2 Mar 26 09:00 EST (where I am)", datetime(2026, 3, 2, 9, tzinfo=timezone(timedelta(hours=-5)))),
        ("yesterday or so", None),
        ("Mon, 99 Mar 2026 09:00:00 +0100", None),
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
        ("1 Jan 99999999999999999999 00:00:00 +0000", None),
        ("", None),
    ],
)
def test_dates(date: str, moment: datetime | None):
    assert readable(f"Date: {date}\r\n\r\n".encode()).date == moment


def test_the_fields_a_reader_sees():
    seen = readable(
        b"From: a@x.example\r\nTo: b@x.example\r\nCc: c@x.example\r\nReply-To: d@x.example\r\nSubject: s\r\n"
        b"Message-ID: <1@x>\r\nIn-Reply-To: <0@x>\r\nReferences: <-1@x>\r\n <0@x>\r\n\r\nHi\r\n"
    )
    assert (seen.from_header, seen.to_header, seen.cc_header, seen.reply_to_header) == (
        "a@x.example",
        "b@x.example",
        "c@x.example",
        "d@x.example",
    )
    assert (seen.subject, seen.message_id, seen.in_reply_to, seen.references) == ("s", "<1@x>", "<0@x>", "<-1@x> <0@x>")
    assert (seen.text, seen.html, seen.date) == ("Hi\r\n", None, None)


@pytest.mark.parametrize(
    ("charset", "octets", "text"),
    [
        ("utf-8", "ß".encode(), "ß"),
        ("utf-8", b"\xdf", "\ufffd"),  # wrong, and nothing else fits: marked as such
        ("latin-1", "ß".encode("latin-1"), "ß"),
        ("us-ascii", "ß".encode(), "ß"),  # wrong, but plainly UTF-8
        ("us-ascii", b"\xdf", "\ufffd"),
        (None, "ß".encode(), "ß"),
        (None, b"\xdf", "ß"),
        ("klingon", "ß".encode(), "ß"),
        ("base64", b"YQ==", "YQ=="),  # Python knows a codec of that name, which is no charset
        ("zlib", b"abc", "abc"),
        ("rot13", b"abc", "abc"),
        ("punycode", b"abc-kva", "abc-kva"),
        ("unicode-escape", b"\\x41\\q", "\\x41\\q"),
        ("undefined", b"abc", "abc"),
        ("utf-16", b"\xff\xfea\x00", "a"),
        ("utf-7", b"+2AA-", "?"),  # half a character, which no database stores
        ("big5", "會議".encode("big5"), "會議"),
        ("ks_c_5601-1987", "똠방".encode("cp949"), "똠방"),
        ("shift_jis", "①".encode("cp932"), "①"),
        ("x" * 1000, b"abc", "abc"),
        ("utf-8\xdf", b"abc", "abc"),
    ],
)
def test_charsets_of_a_text(charset: str | None, octets: bytes, text: str):
    field = f"Content-Type: text/plain; charset={charset}\r\n".encode() if charset else b""
    assert readable(field + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + octets).text == text


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("...", ""),
        ("a\r\nb\0c.txt", "abc.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ('a<b>:"c"|?*.txt', "a_b___c____.txt"),
        ("x" * 500 + ".pdf", "x" * 196 + ".pdf"),
        ("会议.docx", "会议.docx"),
        ("\ud800.txt", "?.txt".replace("?", "_")),
    ],
)
def test_file_names_are_safe(given: str, safe: str):
    assert safe_filename(given) == safe


def deeply_nested(levels: int) -> bytes:
    opening = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(levels)
    )
    return b"Subject: deep\r\n" + opening + b"Content-Type: text/plain\r\n\r\nat the bottom\r\n"


@pytest.mark.parametrize(
    "content",
    [
        deeply_nested(reading.DEEPEST + 1),
        deeply_nested(5_000),
        b"Subject: deep\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 100_000,
        b"Subject: deep\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        + b"--b\r\n\r\n\r\n" * (reading.MOST_PARTS + 1),
        b"Subject: deep\r\n\r\n" + b"\n" * (reading.MOST_LINES + 1),
        b"Subject: deep\r\n" + b"X: y\r\n" * 1_000_000,
        b"Subject: deep\r\nContent-Type: text/html\r\n\r\n" + b"<!--<a <![x[ " * 100_000,
        b"Subject: deep\r\nTo: " + b"=?utf-8?q?x?= " * 200_000 + b"\r\n\r\n",
        b"Subject: deep\r\nContent-Type: multipart/mixed" + b';a=" ' * 200_000 + b"\r\n\r\n",
    ],
    ids=["deep", "very deep", "messages", "parts", "lines", "fields", "html", "encoded words", "parameters"],
)
@pytest.mark.timeout(20)
def test_no_message_costs_more_than_the_limits(content: bytes):
    """Each of these takes minutes, or all memory, when it is read without limits."""
    assert summarise(content).subject == "deep"
    assert readable(content).subject == "deep"
    assert len(attachments(content)) <= reading.MOST_PARTS


def test_within_the_limits_everything_is_read():
    assert readable(deeply_nested(reading.DEEPEST - 1)).text == "at the bottom"


def test_beyond_the_limits_a_plain_text_can_still_be_read():
    text = b"line\r\n" * (reading.MOST_LINES + 1)
    seen = readable(b"Subject: long\r\nContent-Type: text/plain\r\n\r\n" + text)
    assert seen.text == text.decode()


@pytest.mark.parametrize(
    ("content", "section"),
    [
        (b"A: b\r\n\r\nbody", b"A: b\r\n"),
        (b"A: b\n\nbody", b"A: b\n"),
        (b"A: b\r\nC: d\r\n\r\nX: y\r\n\r\n", b"A: b\r\nC: d\r\n"),
        (b"\r\nbody: x", b""),
        (b"A: b", b"A: b"),
        (b"", b""),
    ],
)
def test_where_the_header_ends(content: bytes, section: bytes):
    assert reading.header_section(content) == section
