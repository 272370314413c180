"""R18: the lists a report attaches, as a spreadsheet reads them."""

import csv
from codecs import BOM_UTF8
from io import StringIO

import pytest

from mailrecall.domain.outcomes import Outcome
from mailrecall.recalls.outcomes import Addressee, Unknown
from services.reports import spreadsheets
from services.reports.languages import LANGUAGES
from services.reports.report import Member

EN, ZH = LANGUAGES["en"], LANGUAGES["zh"]


def rows(content: bytes) -> list[list[str]]:
    assert content.startswith(BOM_UTF8)
    return list(csv.reader(StringIO(content.decode("utf-8-sig"), newline=""), strict=True))


@pytest.mark.rule(18)
def test_r18_failed_members_with_group_outcome_and_reason():
    members = [Member("ann@here.example", "staff@here.example", Outcome.FETCHED_BY_POP3)]
    assert rows(spreadsheets.failed_members(members, EN)) == [
        ["Recipient", "Group", "Outcome", "Explanation"],
        ["ann@here.example", "staff@here.example", "Fetched by POP3", "A mail program had fetched the message."],
    ]
    assert rows(spreadsheets.failed_members(members, ZH)) == [
        ["收件人", "群组", "结果", "说明"],
        ["ann@here.example", "staff@here.example", "已通过 POP3 收取", "邮件客户端已收取邮件。"],
    ]


@pytest.mark.rule(18)
def test_r18_addressees_with_outcome_or_why_there_is_none():
    people = [Addressee("a@b.example, c@b.example", Outcome.RECALLED), Addressee("d@b.example", Unknown.NOT_ANSWERED)]
    assert rows(spreadsheets.addressees(people, EN))[1:] == [
        ["a@b.example, c@b.example", "Recalled", "The copy was taken out of the mailbox."],
        ["d@b.example", "Not known yet", ""],
    ]


@pytest.mark.parametrize(
    "address",
    [
        "=cmd|calc@b.example",
        "+1+1@b.example",
        "-2@b.example",
        "@sum@b.example",
        "＝1@b.example",
        "＋1@b.example",
        "－1@b.example",
        "＠1@b.example",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
    ],
)
def test_no_cell_is_a_formula(address: str):
    content = spreadsheets.failed_members([Member(address, address, Outcome.GONE)], EN)
    cells = rows(content)[1]
    assert cells[:2] == [f"'{address}", f"'{address}"]


@pytest.mark.parametrize(
    "address", ["ann@b.example", "a=b@b.example", "o'brien@b.example", '"q"@b.example', "李@b.example"]
)
def test_harmless_cells_stay_as_they_are(address: str):
    content = spreadsheets.failed_members([Member(address, "g@b.example", Outcome.GONE)], ZH)
    assert rows(content)[1][0] == address


def test_no_locales_separator_cuts_a_cell():
    content = spreadsheets.failed_members([Member("a;b,c@b.example", "g@b.example", Outcome.GONE)], EN)
    assert b'"a;b,c@b.example","g@b.example"' in content
    assert content.endswith(b"\r\n")
