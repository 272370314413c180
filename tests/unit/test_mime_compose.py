"""New messages: what a mail program reads in them is what their author wrote, and nothing else."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from pathlib import Path
from typing import Any

import pytest

from mailrecall.mime.compose import Composition, CompositionError, Mailbox, NewAttachment, compose
from mailrecall.mime.parts import attachment_content, attachments, readable

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MESSAGES = sorted((Path(__file__).parents[1] / "messages").glob("*.eml"))


def written(**changes: Any) -> bytes:
    values: dict[str, Any] = {"from_address": "ada@example.org", "to": [Mailbox("bob@example.org")], **changes}
    return compose(Composition(**values), now=NOW, hostname="mx.example.org")


def parsed(content: bytes) -> Any:
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content), "every line ends with CRLF"
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_a_small_message():
    message = parsed(written(subject="Minutes", text="Good morning\n", from_name="Ada"))
    assert message["From"] == "Ada <ada@example.org>"
    assert message["To"] == "bob@example.org"
    assert message["Subject"] == "Minutes"
    assert message["Date"].datetime == NOW
    assert re.fullmatch(r"<[\w-]{20,}@mx\.example\.org>", message["Message-ID"])
    assert message["MIME-Version"] == "1.0"
    assert message.get_content_type() == "text/plain"
    assert message.get_content() == "Good morning\r\n"


def test_no_two_messages_have_one_message_id():
    assert parsed(written())["Message-ID"] != parsed(written())["Message-ID"]


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "Ünïcode",
        "会议纪要 " * 40,
        "long plain words " * 20,
        "a" * 2_000,
        "two  spaces   and four    ",
        " leading and trailing ",
        "=?utf-8?q?looks_encoded?=",
        "half =?utf-8?b? encoded",
        "emoji 🎉" * 30,
        "tab\there",
        'quotes " and \\ and (comments) and <brackets>',
        "Re: [list] #42: 100 % = ok?",
    ],
)
def test_a_subject_is_read_as_it_was_written(subject: str):
    content = written(subject=subject)
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert readable(content).subject == subject.strip()


@pytest.mark.parametrize(
    "name",
    [
        "Ada",
        "Müller, Jürgen",
        "李雷",
        'quo"ted \\ name',
        "O'Neil (sales)",
        "a@b",
        "=?utf-8?q?x?=",
        "x" * 300,
        "王" * 100,
    ],
)
def test_a_name_is_read_as_it_was_written(name: str):
    content = written(from_name=name, to=[Mailbox("bob@example.org", name), Mailbox("carol@example.org")])
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    message = parsed(content)
    assert [a.addr_spec for a in message["From"].addresses] == ["ada@example.org"]
    assert [a.addr_spec for a in message["To"].addresses] == ["bob@example.org", "carol@example.org"]
    # the package's older reader: the newer one puts spaces between encoded words (fixed in later Pythons)
    for field in ("From", "To"):
        (encoded, _), *_ = getaddresses([str(message_from_bytes(content)[field])])
        assert str(make_header(decode_header(encoded))) == name


@pytest.mark.parametrize(
    "evil", ["a\r\nBcc: eve@example.org", "a\nb", "a\rb", "a\u2028b", "a\0b", "a\x0bb", "a\ud800b"]
)
@pytest.mark.parametrize("place", ["subject", "from_name", "to_name", "filename"])
def test_no_text_becomes_a_line_of_its_own(place: str, evil: str):
    changes: dict[str, dict[str, Any]] = {
        "subject": {"subject": evil},
        "from_name": {"from_name": evil},
        "to_name": {"to": [Mailbox("bob@example.org", evil)]},
        "filename": {"attachments": [NewAttachment(evil, "text/plain", b"x")]},
    }
    with pytest.raises(CompositionError, match=r"line breaks|control character"):
        written(**changes[place])


def test_nor_does_an_encoded_one():
    content = written(subject="=?utf-8?q?a=0D=0ABcc:_eve@example.org?=", from_name="=?utf-8?q?a=0D=0AX:_y?=")
    assert parsed(content).keys() == [
        *("Date", "Message-ID", "From", "To", "Subject"),
        *("Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
    ]


@pytest.mark.parametrize(
    "address", ["", "nobody", "a@b@", "a b@example.org", "a@example.org\r\nBcc: e@example.org", "<a@x>"]
)
@pytest.mark.parametrize("place", ["from_address", "to", "cc"])
def test_what_is_no_address_is_refused(place: str, address: str):
    with pytest.raises(CompositionError):
        written(**{place: address if place == "from_address" else [Mailbox(address)]})


def test_bcc_only():
    message = parsed(written(to=[]))
    assert message["To"].addresses == ()
    assert message["To"] == "undisclosed-recipients:;"


def test_many_recipients_make_no_long_line():
    people = [Mailbox(f"person{number}@example.org", f"Person {number}") for number in range(2_000)]
    content = written(to=people)
    assert max(map(len, content.split(b"\r\n"))) <= 100
    assert len(parsed(content)["To"].addresses) == 2_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "Grüße\n",
        "会议" * 2_000,
        "x" * 5_000,
        ".\n..\nFrom me\n",
        "a\r\nb\rc\nd",
        "trailing  \n\n\n",
        "--\n-- \n",
    ],
)
def test_text_and_html_are_read_as_they_were_written(text: str):
    content = written(text=text, html=f"<p>{text}</p>")
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    seen = readable(content)
    assert seen.text is not None
    assert seen.html is not None
    assert "\n".join(seen.text.splitlines()) == "\n".join(text.splitlines())
    assert "\n".join(seen.html.splitlines()) == "\n".join(f"<p>{text}</p>".splitlines())
    assert parsed(content).get_content_type() == "multipart/alternative"


@pytest.mark.parametrize("text", ["half \ud800", "nul \0"])
def test_a_text_that_mail_cannot_carry_is_refused(text: str):
    with pytest.raises(CompositionError):
        written(text=text)
    with pytest.raises(CompositionError):
        written(html=text)


FILES: Sequence[NewAttachment] = (
    NewAttachment("report.pdf", "application/pdf", bytes(range(256)) * 10),
    NewAttachment("会议 纪要, final (2).docx", "application/octet-stream", b""),
    NewAttachment('a"b\\c;d=e%.txt', "text/plain", b"line\nline\r\n"),
    NewAttachment("x" * 240 + ".csv", "text/csv", b"1,2"),
    NewAttachment("报告" * 60 + ".zip", "application/zip", b"PK"),
    NewAttachment("note.eml", "message/rfc822", b"Subject: x\r\n\r\n"),
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.filename[:20])
def test_a_file_comes_out_as_it_went_in(file: NewAttachment):
    content = written(text="see the file", html="<p>see the file</p>", attachments=[file])
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    (attached,) = attachments(content)
    assert attachment_content(content, 0)[1] == file.content
    name = re.sub(r'[\\:*?"<>|]', "_", file.filename.rpartition("\\")[2])
    assert attached.filename == (name if len(name) <= 200 else name[:196] + name[-4:])
    assert attached.content_type == (
        "application/octet-stream" if file.content_type == "message/rfc822" else file.content_type
    )


@pytest.mark.parametrize(
    "content_type", ["", "pdf", "a/b/c", "text/plain\r\nX: y", "text/plain; charset=x", "/", "te xt/x"]
)
def test_a_content_type_must_be_one(content_type: str):
    with pytest.raises(CompositionError, match="no content type"):
        written(attachments=[NewAttachment("x", content_type, b"")])


def test_a_file_needs_a_name():
    with pytest.raises(CompositionError, match="needs a file name"):
        written(attachments=[NewAttachment(" ", "text/plain", b"")])


@pytest.mark.rule(14)
def test_r14_many_large_files():
    files = [NewAttachment(f"{number}.bin", "application/octet-stream", b"\xff" * 500_000) for number in range(10)]
    content = written(attachments=files)
    assert [a.size for a in attachments(content)] == [500_000] * 10


@pytest.mark.rule(4)
@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_r4_a_forwarded_message_is_enclosed_byte_for_byte(path: Path):
    original = path.read_bytes()
    content = written(text="see below", html="<p>see below</p>", forwarded=original)
    assert b"\r\n\r\n" + original + b"\r\n--" in content
    assert readable(content).text == "see below\r\n"
    *_, enclosed = attachments(content)
    assert enclosed.content_type == "message/rfc822"
    assert content.isascii() == original.isascii()


def test_a_forwarded_message_cannot_end_the_one_around_it():
    first = written(forwarded=b"Subject: inner\r\n\r\n")
    boundary = parsed(first).get_boundary()
    second = written(forwarded=f"Subject: inner\r\n\r\n--{boundary}--\r\nafter\r\n".encode())
    assert parsed(second).get_boundary() != boundary
    assert [a.content_type for a in attachments(second)] == ["message/rfc822"]


def test_an_answer_names_what_it_answers():
    message = parsed(written(in_reply_to="<one@example.org>"))
    assert message["In-Reply-To"] == "<one@example.org>"
    assert message["References"] == "<one@example.org>"
    for wrong in ("one", "<one>\r\nX: y", "<a> <b>", "<>"):
        with pytest.raises(CompositionError):
            written(in_reply_to=wrong)


def test_a_program_says_that_it_is_one():
    assert parsed(written(auto_submitted=True))["Auto-Submitted"] == "auto-generated"
    assert parsed(written())["Auto-Submitted"] is None


def test_an_international_address_stays_readable():
    content = written(from_address="李雷@example.org")
    assert "From: 李雷@example.org\r\n".encode() in content
