"""What lists show of a message."""

from pathlib import Path

import pytest

from mailrecall.mime.summary import LONGEST_TEXT, Summary, summarise

MESSAGES = Path(__file__).parents[1] / "messages"


def summary_of(name: str) -> Summary:
    return summarise((MESSAGES / f"{name}.eml").read_bytes())


def test_a_plain_message():
    assert summary_of("plain") == Summary(
        header_message_id="<plain@example.org>",
        from_header="Ada <ada@example.org>",
        to_header="bob@example.org",
        subject="Minutes of Monday",
        preview="Good morning, these are the minutes.",
        attachments=0,
    )


@pytest.mark.parametrize(
    ("name", "from_header", "subject", "preview"),
    [
        (
            "quoted-printable",
            "Jürgen Müller <juergen@example.org>",
            "Rückfrage zum Geschäft",
            "Grüße aus Zürich – bis bald",
        ),
        # labelled gb2312, with characters that only GBK has, as mail programs do
        ("gb2312", "李雷 <lilei@example.org>", "会议纪要（朱镕基路）", "各位同事：附件是会议纪要，请查收。镕喆"),
        ("iso-2022-jp", "suzuki@example.org", "会議の件", "明日の会議は中止です。"),
        ("raw-octets", "李雷 <lilei@example.org>", "Rå utf-8 i en rubrik", ""),
        # labelled iso-8859-1, with a dash that only windows-1252 has
        ("html-only", "ada@example.org", "No plain text", "Café & crème—now"),
        ("inline-image", "ada@example.org", "A picture in the text", "The plain words"),
        ("no-header", "", "", "hello, there is no header at all not even this: is one really"),
    ],
)
def test_charsets(name: str, from_header: str, subject: str, preview: str):
    summary = summary_of(name)
    assert (summary.from_header, summary.subject, summary.preview) == (from_header, subject, preview)


@pytest.mark.parametrize(
    ("name", "attachments"),
    [
        ("plain", 0),
        ("attachments", 4),
        ("inline-image", 1),
        ("enclosed", 1),
        ("report", 2),
        ("invitation", 1),
        ("raw-octets", 1),
        ("broken", 0),
    ],
)
def test_attachments_are_counted(name: str, attachments: int):
    assert summary_of(name).attachments == attachments


def test_nul_never_occurs():
    summary = summary_of("nul-and-bare")
    assert "\0" not in "".join([summary.subject, summary.preview, summary.header_message_id or ""])
    assert summary.subject.split() == ["nul", "and", "bare", "return"]


def test_an_undivided_multipart_shows_what_there_is():
    assert summary_of("broken").preview.startswith("--second Content-Type: text/plain; charset=klingon")


def test_nothing_at_all():
    assert summarise(b"") == Summary(None, "", "", "", "", 0)


def test_long_texts_are_cut():
    summary = summarise(b"Subject: " + b"s " * 100_000 + b"\r\nTo: " + b"t," * 100_000 + b"\r\n\r\n" + b"word " * 100)
    assert len(summary.subject) <= LONGEST_TEXT
    assert len(summary.to_header) <= LONGEST_TEXT
    assert len(summary.preview) == 200


def test_a_field_that_stands_twice_is_joined():
    assert summarise(b"To: a@x.example\r\nTo: b@x.example\r\n\r\n").to_header == "a@x.example, b@x.example"


def test_a_header_broken_over_lines_is_one_line():
    summary = summarise(b"Subject: one\r\n two\r\n\tthree\r\n\r\n")
    assert summary.subject == "one two three"


def test_an_encoded_word_cannot_bring_line_breaks():
    assert summarise(b"Subject: =?utf-8?q?a=0D=0ABcc:_b=00c?=\r\n\r\n").subject == "a Bcc: bc"
