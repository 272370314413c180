"""Values are read strictly: what is not plainly right is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError
from marshmallow.fields import Field

from mailrecall.domain.addresses import Address
from mailrecall.domain.copies import Folder
from mailrecall.domain.outcomes import Outcome, Tally
from services.gateway.fields import (
    Base64,
    FolderName,
    Line,
    Link,
    MailAddress,
    MediaType,
    Name,
    Number,
    OutcomeName,
    Outcomes,
    Reason,
    Text,
    TrueFalse,
)

GOOD = [
    (Text(), "zwei\nZeilen\t😀", "zwei\nZeilen\t😀"),
    (Text(), "", ""),
    (Line(), "Grüße aus 北京", "Grüße aus 北京"),
    (Name(), "a.pdf", "a.pdf"),
    (MediaType(), "Application/PDF", "application/pdf"),
    (MediaType(), "image/svg+xml", "image/svg+xml"),
    (MailAddress(), "Ann+x@Company.Example", Address("ann+x", "company.example")),
    (Base64(), "", b""),
    (Base64(), "AAEC\r\n/w==", b"\x00\x01\x02\xff"),
    (TrueFalse(), True, True),
    (TrueFalse(), "false", False),
    (Number(least=1, most=5), 5, 5),
    (Number(least=1, most=5), "1", 1),
    (Reason(), " because ", "because"),
    (FolderName(), "inbox", Folder.INBOX),
]

REFUSED: list[tuple[Field[Any], list[Any]]] = [
    (Text(), [None, 1, True, ["a"], {"a": 1}, b"a", "a\x00b", "\ud83d"]),
    (Line(), ["a\nb", "a\rb", "a\u2028b", "\x1b[0m", "\x7f", "\x85", 1]),
    (Name(), ["", "  "]),
    (MediaType(), ["pdf", "a/b/c", "text/plain; charset=x", "multipart/mixed", "/", "a b/c", ""]),
    (MailAddress(), ["", "a", "@b.example", "a b@c.example", None, 1, "a@b.example\n@"]),
    (Base64(), ["?", "AAA", "====", None, 1, "AA-_"]),
    (TrueFalse(), [1, 0, "1", "yes", "True", None, [], {}]),
    (Number(least=1, most=5), [0, 6, "0", "six", 1.5, "1.0", True, None, "٣", "1" * 5000, [1]]),
    (Reason(), ["", "   ", "x" * 501, "\x00", 5]),
    (FolderName(), ["", "elsewhere", 1, None, ["inbox"]]),
]
BAD = [(field, value) for field, values in REFUSED for value in values]


@pytest.mark.parametrize(("field", "value", "read"), GOOD)
def test_what_is_right_is_read(field, value, read):
    assert field.deserialize(value) == read


@pytest.mark.parametrize(("field", "value"), BAD)
def test_what_is_not_right_is_refused(field, value):
    with pytest.raises(ValidationError):
        field.deserialize(value)


@given(st.text())
def test_a_line_never_begins_another_header_field(text):
    try:
        line = Line().deserialize(text)
    except ValidationError:
        return
    assert len(line.splitlines()) <= 1
    line.encode()


@pytest.mark.parametrize(
    ("field", "value", "written"),
    [
        (FolderName(), Folder.SENT, "sent"),
        (OutcomeName(), Outcome.ALREADY_READ, "already_read"),
        (OutcomeName(), None, None),
        (Outcomes(), Tally.of({Outcome.GONE: 2, Outcome.RECALLED: 1, Outcome.VETOED: 0}), {"recalled": 1, "gone": 2}),
        (Link("/things/{}"), 7, "/things/7"),
        (Link("/things/{}"), None, None),
    ],
)
def test_values_go_out_under_the_names_the_rules_give(field, value, written):
    assert field.serialize("it", {"it": value}) == written
