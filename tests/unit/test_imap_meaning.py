"""What each FETCH attribute means for R2 and R5."""

import pytest
from pymap.parsing import Params
from pymap.parsing.specials import FetchAttribute

from mailrecall.domain.copies import Fact
from mailrecall.mime import sections
from services.delivery.imap.meaning import Need, meaning, span_of

READ, TAKEN, NONE = Fact.READ, Fact.ATTACHMENT_DOWNLOADED, Fact(0)

MESSAGE = (
    b"Subject: Figures\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n'
    b"\r\n"
    b"--b\r\n"
    b"Content-Type: text/plain\r\n"
    b"\r\n"
    b"See the figures.\r\n"
    b"--b\r\n"
    b"Content-Type: application/pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n"
    b"\r\n"
    b"JVBERi0xLjQ=\r\n"
    b"--b\r\n"
    b"Content-Type: message/rfc822\r\n"
    b"\r\n"
    b"Subject: Enclosed\r\n"
    b"\r\n"
    b"Inside.\r\n"
    b"--b--\r\n"
)
PLAIN = b"Subject: Minutes\r\n\r\nGood morning.\r\n"


def attribute(text: str) -> FetchAttribute:
    parsed, rest = FetchAttribute.parse(memoryview(text.encode()), Params())
    assert not bytes(rest)
    return parsed


def facts(text: str, message: bytes) -> Fact:
    """The facts of a FETCH of one attribute, as the session finds them."""
    part = sections.parse(message)
    attachments = len(part.attachments())
    found = meaning([attribute(text)])
    taken = found.must_look(attachments) and found.takes_attachment(part)
    return found.facts(attachments) | (TAKEN if taken else NONE)


TEXT_AT = len(MESSAGE[: MESSAGE.index(b"See the")])
PDF_AT = len(MESSAGE[: MESSAGE.index(b"JVBER")])


@pytest.mark.rule(2, 5)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # no content at all
        ("UID", NONE),
        ("FLAGS", NONE),
        ("INTERNALDATE", NONE),
        ("RFC822.SIZE", NONE),
        ("ENVELOPE", NONE),
        ("BODY", NONE),
        ("BODYSTRUCTURE", NONE),
        ("BINARY.SIZE[2]", NONE),
        # headers
        ("RFC822.HEADER", NONE),
        ("BODY.PEEK[HEADER]", NONE),
        ("BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)]", NONE),
        ("BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT)]", NONE),
        ("BODY.PEEK[1.MIME]", NONE),
        ("BODY.PEEK[2.MIME]", NONE),
        ("BODY[HEADER]", READ),
        ("BODY[HEADER.FIELDS (SUBJECT)]", READ),
        ("BODY[2.MIME]", READ),
        # the text
        ("BODY.PEEK[1]", NONE),
        ("BODY.PEEK[1]<0.100>", NONE),
        ("BINARY.PEEK[1]", NONE),
        ("BODY[1]", READ),
        ("BODY[1]<0.10>", READ),
        ("BINARY[1]", READ),
        # an attachment, an enclosed message among them
        ("BODY.PEEK[2]", TAKEN),
        ("BODY.PEEK[2]<0.4>", TAKEN),
        ("BINARY.PEEK[2]", TAKEN),
        ("BINARY.PEEK[2]<0.4>", TAKEN),
        ("BODY.PEEK[3]", TAKEN),
        ("BODY.PEEK[3.HEADER]", TAKEN),
        ("BODY.PEEK[3.TEXT]", TAKEN),
        ("BODY.PEEK[3.1]", TAKEN),
        ("BODY[2]", READ | TAKEN),
        ("BINARY[2]", READ | TAKEN),
        ("BODY[3.HEADER]", READ | TAKEN),
        # the whole, which has the attachments in it
        ("BODY.PEEK[]", TAKEN),
        ("BODY.PEEK[TEXT]", TAKEN),
        ("BODY[]", READ | TAKEN),
        ("BODY[TEXT]", READ | TAKEN),
        ("RFC822", READ | TAKEN),
        ("RFC822.TEXT", READ | TAKEN),
        # a piece of the whole: what is in it counts
        (f"BODY.PEEK[]<0.{PDF_AT}>", NONE),
        (f"BODY.PEEK[]<0.{PDF_AT + 1}>", TAKEN),
        (f"BODY.PEEK[]<{PDF_AT + 12}.20>", NONE),
        (f"BODY.PEEK[]<{TEXT_AT}.16>", NONE),
        (f"BODY[]<{TEXT_AT}.16>", READ),
        ("BODY.PEEK[TEXT]<0.40>", NONE),
        # parts that it has not
        ("BODY.PEEK[4]", NONE),
        ("BODY.PEEK[1.1]", NONE),
        ("BODY[4]", READ),
    ],
)
def test_r2_r5_what_a_fetch_of_a_message_with_attachments_means(text: str, expected: Fact):
    assert facts(text, MESSAGE) == expected


@pytest.mark.rule(2, 5)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BODY.PEEK[]", NONE),
        ("BODY.PEEK[TEXT]", NONE),
        ("BODY.PEEK[1]", NONE),
        ("BODY.PEEK[]<0.2048>", NONE),
        ("BINARY.PEEK[]", NONE),
        ("RFC822.HEADER", NONE),
        ("BODY[]", READ),
        ("BODY[]<0.1>", READ),
        ("BODY[TEXT]", READ),
        ("RFC822", READ),
        ("RFC822.TEXT", READ),
    ],
)
def test_r2_r5_what_a_fetch_of_a_message_without_attachments_means(text: str, expected: Fact):
    assert facts(text, PLAIN) == expected


@pytest.mark.rule(2, 5)
def test_r2_r5_attributes_asked_for_together_mean_the_sum_of_each():
    together = meaning(map(attribute, ["FLAGS", "ENVELOPE", "BODY[HEADER]", "BODY.PEEK[2]"]))
    assert together.facts(2) == READ
    assert together.takes_attachment(sections.parse(MESSAGE))


@pytest.mark.parametrize(
    ("text", "need"),
    [
        ("FLAGS", Need.NOTHING),
        ("RFC822.SIZE", Need.NOTHING),
        ("ENVELOPE", Need.HEADER),
        ("BODY.PEEK[HEADER.FIELDS (DATE)]", Need.HEADER),
        ("BODY.PEEK[1.MIME]", Need.ALL),
        ("BODYSTRUCTURE", Need.ALL),
        ("BODY", Need.ALL),
        ("BODY.PEEK[]", Need.ALL),
    ],
)
def test_no_more_is_read_from_the_shard_than_the_answer_needs(text: str, need: Need):
    assert meaning([attribute(text)]).need is need


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("BODY[1]", b"See the figures."),
        ("BODY[2]", b"JVBERi0xLjQ="),
        ("BODY[2.MIME]", b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
        ("BODY[3]", b"Subject: Enclosed\r\n\r\nInside."),
        ("BODY[3.HEADER]", b"Subject: Enclosed\r\n\r\n"),
        ("BODY[3.TEXT]", b"Inside."),
        ("BODY[3.1]", b"Inside."),
        ("BODY[]<5.9>", MESSAGE[5:14]),
        ("BODY[2]<4.4>", b"Ri0x"),
        ("BODY[2]<400.4>", b""),
    ],
)
def test_sections_are_cut_out_octet_for_octet(section: str, expected: bytes):
    span = span_of(sections.parse(MESSAGE), attribute(section))
    assert span is not None
    assert span.of(MESSAGE) == expected
