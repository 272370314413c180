"""ENVELOPE and BODYSTRUCTURE as RFC 3501 section 7.4.2 has them, and what is made of mail that is none."""

from pathlib import Path

import pytest

from mailrecall.mime import sections
from services.delivery.imap.structure import Envelope, Structure, envelope, nstring, structure

MESSAGES = Path(__file__).parents[1] / "messages"

# the example of RFC 3501 section 8
EXAMPLE = (
    b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n"
    b"From: Terry Gray <gray@cac.washington.edu>\r\n"
    b"Subject: IMAP4rev1 WG mtg summary and minutes\r\n"
    b"To: imap@cac.washington.edu\r\n"
    b"cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
    b"Message-Id: <B27397-0100000@cac.washington.edu>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n"
    b"\r\n"
    b"One\r\nTwo\r\n"
)


def written(content: bytes, *, extended: bool = True) -> bytes:
    return structure(content, sections.parse(content), extended=extended)


def test_the_envelope_of_the_example_in_the_standard():
    gray = b'(("Terry Gray" NIL "gray" "cac.washington.edu"))'
    assert envelope(sections.parse(EXAMPLE).fields) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" '
        + b" ".join([gray] * 3)
        + b' ((NIL NIL "imap" "cac.washington.edu"))'
        b' ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU"))'
        b' NIL NIL "<B27397-0100000@cac.washington.edu>")'
    )


def test_the_structure_of_the_example_in_the_standard():
    assert written(EXAMPLE, extended=False) == b'("text" "plain" ("charset" "US-ASCII") NIL NIL "7bit" 10 2)'


def test_parts_dispositions_and_enclosed_messages():
    content = (MESSAGES / "enclosed.eml").read_bytes()
    plain = written(content, extended=False)
    assert plain.startswith(b'(("text" "plain" NIL NIL NIL "7bit" 10 1)("message" "rfc822" NIL NIL NIL "7bit" 352 (')
    assert b'("application" "zip" ("name" "inner.zip") NIL NIL "base64" 32) "mixed") 18) "mixed")' in plain
    content = (MESSAGES / "attachments.eml").read_bytes()
    extended = written(content)
    # RFC 2231, put together from its two pieces
    name = b"utf-8''%E4%BC%9A%E8%AE%AE%E7%BA%AA%E8%A6%81.pdf"
    assert b'"base64" 28 NIL ("attachment" ("filename*" "%b")) NIL NIL)' % name in extended
    assert b'("inline" ("filename" "numbers.csv"))' in extended
    assert extended.endswith(b' "mixed" ("boundary" "outer") NIL NIL NIL)')


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", b'("text" "plain" NIL NIL NIL "7bit" 0 0)'),
        (b"no header at all", b'("text" "plain" NIL NIL NIL "7bit" 16 1)'),
        (b"Content-Type: nonsense\r\n\r\nx", b'("text" "plain" NIL NIL NIL "7bit" 1 1)'),
        (b"Content-Type: multipart/mixed\r\n\r\nx", b'("text" "plain" NIL NIL NIL "7bit" 1 1)'),
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\nno part",
            b'("text" "plain" ("boundary" "b") NIL NIL "7bit" 7 1)',
        ),
        (b"Content-Type: application/pdf\r\n\r\n", b'("application" "pdf" NIL NIL NIL "7bit" 0)'),
        (
            b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\ny\r\n--b--\r\n",
            (
                b'(("message" "rfc822" NIL NIL NIL "7bit" 15 (NIL "x" NIL NIL NIL NIL NIL NIL NIL NIL)'
                b' ("text" "plain" NIL NIL NIL "7bit" 1 1) 3) "digest")'
            ),
        ),
    ],
)
def test_octets_that_are_hardly_a_message(content: bytes, expected: bytes):
    assert written(content, extended=False) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, b"NIL"),
        (b"", b'""'),
        (b'say "hello"\\', rb'"say \"hello\"\\"'),
        (b"two\r\nlines", b"{10}\r\ntwo\r\nlines"),
        ("Müller".encode(), b"{7}\r\nM\xc3\xbcller"),
        (b"nul\0", b"{4}\r\nnul\x80"),
        (b"x" * 1000, b"{1000}\r\n" + b"x" * 1000),
    ],
)
def test_texts_are_quoted_or_counted(text: bytes | None, expected: bytes):
    assert nstring(text) == expected


def test_encoded_words_stay_for_the_client_to_decode_and_are_decoded_for_a_search():
    content = b"Subject: =?utf-8?q?M=C3=BCller?=\r\nFrom: =?utf-8?q?M=C3=BCller?= <m@x.example>\r\n\r\n"
    message = sections.parse(content)
    found = Envelope(message.fields)
    assert bytes(found).startswith(b'(NIL "=?utf-8?q?M=C3=BCller?=" (("=?utf-8?q?M=C3=BCller?=" NIL "m" "x.example"))')
    assert str(found.subject) == "Müller"
    assert found.from_ is not None
    assert "Müller" in str(found.from_[0])


def test_both_forms_of_the_structure_are_what_pymap_asks_for():
    found = Structure(EXAMPLE, sections.parse(EXAMPLE))
    assert bytes(found) == written(EXAMPLE, extended=False)
    assert bytes(found.extended) == written(EXAMPLE)
