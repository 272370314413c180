"""R18, R11, R23: what a report says in each language, as text and HTML, and which names it may say at all."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from uuid import UUID

import pytest

from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Result, State
from mailrecall.recalls.outcomes import Addressee, Unknown
from mailrecall.recalls.views import RecallView
from services.reports.languages import LANGUAGES
from services.reports.rendering import ADDRESSEES_INLINE, MEMBERS_INLINE, Letter, render, segments
from services.reports.report import (
    Findings,
    Group,
    Member,
    Reader,
    RecalledMessage,
    Report,
    report_for,
)

DIRECT = Tally.of({Outcome.RECALLED: 1, Outcome.ALREADY_READ: 1, Outcome.EXTERNAL: 1})
STAFF = Tally.of({Outcome.RECALLED: 12_000, Outcome.ALREADY_READ: 300, Outcome.FORWARDED: 45})
VIEW = RecallView(
    id=7,
    public_id=UUID("0f0e1c5a-6f0e-4f7d-9d61-2f4f6f3fbb10"),
    message_id=4,
    organisation_id=1,
    requested_by=1,
    as_administrator=False,
    reason="Wrong attachment",
    policy=Policy(),
    requested_at=datetime(2026, 3, 1, 14, 5, 6, tzinfo=UTC),
    deadline_at=datetime(2026, 3, 1, 15, 5, 6, tzinfo=UTC),
    state=State.SETTLED,
    result=Result.PARTIAL,
    settled_at=datetime(2026, 3, 1, 14, 5, 9, tzinfo=UTC),
    subject="Figures",
    recipients=12_348,
    tally=DIRECT + STAFF,
    by_via={0: DIRECT, 4: STAFF},
    report_message_id=None,
    author_report_message_id=None,
)
MESSAGE = RecalledMessage(datetime(2026, 3, 1, 14, 0, 0, tzinfo=UTC), "<1@mail>", "Ann <ann@here.example>", 1)
FINDINGS = Findings(
    addressees=[
        Addressee("went@here.example", Outcome.RECALLED),
        Addressee("stayed@here.example", Outcome.ALREADY_READ),
        Addressee("outside@there.example", Outcome.EXTERNAL),
        Addressee("closed@here.example", Unknown.NEVER_DELIVERED),
        Addressee("silent@here.example", Unknown.NOT_ANSWERED),
    ],
    groups=[Group("staff@here.example", "All staff", STAFF), Group("board@here.example", "", Tally({}))],
    failed=[Member(f"member{n}@here.example", "staff@here.example", Outcome.FORWARDED) for n in range(45)],
)


def report(
    reader: Reader = Reader.SENDER, *, view: RecallView = VIEW, findings: Findings = FINDINGS, **changes: object
) -> Report:
    told = report_for(reader, view, MESSAGE, findings, asked_by="postmaster@here.example")
    return replace(told, **changes)  # type: ignore[arg-type]


def everything(letter: Letter) -> str:
    attached = "".join(attachment.content.decode() for attachment in letter.attachments)
    return letter.subject + letter.text + letter.html + attached


def words_of(html: str) -> str:
    """The text a person sees, white space folded."""

    class Words(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.words: list[str] = []

        def handle_data(self, data: str) -> None:
            self.words.append(data)

    parser = Words()
    parser.feed("<body" + html.partition("<body")[2])
    return re.sub(r"[ \n]+", " ", " ".join(parser.words))


# Written out by hand: what a reader of either language has to find, in the text and in the HTML.
SAID = {
    "en": [
        "The message was recalled from some mailboxes",
        "Recalled from 12,001 of 12,348 recipients.",
        "Figures",
        "Wrong attachment",
        "March 1, 2026, 2:05:06\u202fPM UTC",
        "97.2%",
        "Already read",
        "Addressed directly",
        "closed@here.example",
        "Never delivered",
        "Not known yet",
        "Groups",
        "All staff <staff@here.example>",
        "no further recipients",
        "300 more are counted above but could not be listed.",
        "Recipients are not told of the recall.",
        "0f0e1c5a-6f0e-4f7d-9d61-2f4f6f3fbb10",
    ],
    "zh": [
        "邮件已从部分邮箱撤回",
        "共 12,348 位收件人，已从其中 12,001 位的邮箱撤回。",
        "Figures",
        "Wrong attachment",
        "2026年3月1日 UTC 14:05:06",
        "97.2%",
        "已读",
        "直接收件人",
        "closed@here.example",
        "从未投递",
        "暂时未知",
        "群组",
        "All staff <staff@here.example>",
        "没有其他收件人",
        "另有 300 位已计入上方统计，但无法列出。",
        "收件人不会收到撤回通知。",
        "0f0e1c5a-6f0e-4f7d-9d61-2f4f6f3fbb10",
    ],
}


@pytest.mark.rule(18, 11)
@pytest.mark.parametrize(("code", "said"), [(code, said) for code, phrases in SAID.items() for said in phrases])
def test_r18_r11_both_forms_say_it_in_the_readers_language(code: str, said: str):
    letter = render(report(), LANGUAGES[code])
    assert said in letter.text
    assert said in words_of(letter.html)


@pytest.mark.rule(18)
def test_r18_chinese_reports_have_no_english_sentence():
    told = report(reason="附件有误", subject="业绩", tombstone=True)
    text = render(told, LANGUAGES["zh"]).text
    # names, addresses, and the two words that Chinese writes in Latin letters
    allowed = re.compile(r"[\w.+-]+@[\w.-]+|All staff|Mail Recall|UTC|[0-9a-f-]{36}")
    assert re.findall(r"[A-Za-z]{2,}", allowed.sub("", text)) == []


SUBJECTS = [
    ("en", Result.SUCCEEDED, "Recalled: Figures"),
    ("en", Result.PARTIAL, "Recalled from some: Figures"),
    ("en", Result.FAILED, "Not recalled: Figures"),
    ("zh", Result.SUCCEEDED, "已撤回：Figures"),
    ("zh", Result.PARTIAL, "部分收件人已撤回：Figures"),
    ("zh", Result.FAILED, "未能撤回：Figures"),
]


@pytest.mark.rule(18)
@pytest.mark.parametrize(("code", "result", "subject"), SUBJECTS)
def test_r18_the_subject_tells_the_result(code: str, result: Result, subject: str):
    assert render(report(result=result), LANGUAGES[code]).subject == subject


@pytest.mark.parametrize(
    ("code", "tally", "said"),
    [
        ("en", {Outcome.RECALLED: 1}, "Recalled from 1 of 1 recipient."),
        ("en", {Outcome.GONE: 2}, "Recalled from 0 of 2 recipients."),
        ("en", {Outcome.RECALLED: 1_234_567}, "Recalled from 1,234,567 of 1,234,567 recipients."),
        ("zh", {Outcome.RECALLED: 1}, "共 1 位收件人，已从其中 1 位的邮箱撤回。"),
        ("zh", {Outcome.RECALLED: 1_234_567}, "共 1,234,567 位收件人，已从其中 1,234,567 位的邮箱撤回。"),
    ],
)
def test_numbers_take_their_form(code: str, tally: dict[Outcome, int], said: str):
    assert said in render(report(tally=Tally.of(tally)), LANGUAGES[code]).text


@pytest.mark.rule(9, 18)
@pytest.mark.parametrize("code", LANGUAGES)
def test_r9_every_outcome_has_a_name_and_a_reason_of_its_own(code: str):
    tally = Tally.of(dict.fromkeys(Outcome, 1))
    text = render(report(tally=tally), LANGUAGES[code]).text
    heading = text.index(LANGUAGES[code].gettext("Outcomes"))
    block = text[heading:].split("\n\n")[0].splitlines()[1:]
    names = [line.split("11.1%")[0] for line in block]
    reasons = [line.split(" - ")[1] for line in block]
    assert len(set(names)) == len(set(reasons)) == len(Outcome)


@pytest.mark.rule(18)
def test_r18_each_group_is_one_line_with_its_counts():
    (line,) = [line for line in render(report(), LANGUAGES["en"]).text.splitlines() if "All staff" in line]
    assert line == "  All staff <staff@here.example>: Recalled 12,000 · Already read 300 · Forwarded 45"


@pytest.mark.rule(18)
@pytest.mark.parametrize(("members", "attached"), [(MEMBERS_INLINE, False), (MEMBERS_INLINE + 1, True)])
def test_r18_failed_members_past_fifty_are_attached(members: int, attached: bool):
    failed = [Member(f"m{n:03}@here.example", "staff@here.example", Outcome.GONE) for n in range(members)]
    letter = render(report(failed=failed), LANGUAGES["en"])
    assert MEMBERS_INLINE == 50
    assert [a.filename for a in letter.attachments] == ["recall-failed.csv"] * attached
    for form in (letter.text, letter.html):
        assert form.count("m000@here.example") == (not attached)
    if attached:
        rows = letter.attachments[0].content.decode("utf-8-sig").splitlines()
        assert len(rows) == members + 1
        assert "51 members are listed" in letter.text


@pytest.mark.rule(18)
def test_r18_very_many_addressees_are_named_in_an_attachment():
    many = [Addressee(f"p{n}@here.example", Outcome.RECALLED) for n in range(ADDRESSEES_INLINE + 1)]
    letter = render(report(addressees=many, failed=[]), LANGUAGES["en"])
    (attachment,) = letter.attachments
    assert attachment.filename == "recall-addressees.csv"
    assert len(attachment.content.splitlines()) == len(many) + 1
    assert "p7@here.example" not in letter.text + letter.html


@pytest.mark.rule(23)
@pytest.mark.parametrize("code", LANGUAGES)
def test_r23_an_administrator_never_reads_who_was_recalled(code: str):
    findings = replace(
        FINDINGS,
        failed=[
            *[Member(f"kept{n}@here.example", "staff@here.example", Outcome.GONE) for n in range(60)],
            # must not be there at all; the report would still not name it
            Member("slipped@here.example", "staff@here.example", Outcome.RECALLED),
        ],
    )
    letter = render(report(Reader.ADMINISTRATOR, findings=findings), LANGUAGES[code])
    said = everything(letter)
    for hidden in ("went@here.example", "silent@here.example", "slipped@here.example"):
        assert hidden not in said
    for shown in ("stayed@here.example", "outside@there.example", "kept59@here.example", "12,001", "Ann"):
        assert shown in said


@pytest.mark.rule(23)
def test_r23_an_administrator_sees_no_failed_account_where_the_policy_hides_them():
    view = replace(VIEW, policy=Policy(admin_sees_failed_accounts=False))
    letter = render(report(Reader.ADMINISTRATOR, view=view), LANGUAGES["en"])
    said = everything(letter)
    for hidden in [a.address for a in FINDINGS.addressees] + [m.address for m in FINDINGS.failed]:
        assert hidden not in said
    assert not letter.attachments
    assert "Recalled 1 · Already read 1 · External 1" in letter.text
    assert "could not be listed" not in letter.text


@pytest.mark.rule(18, 23)
@pytest.mark.parametrize("hides", [False, True])
def test_r18_an_author_reads_of_everybody_and_who_recalled_it(hides: bool):
    view = replace(VIEW, as_administrator=True, policy=Policy(admin_sees_failed_accounts=not hides))
    letter = render(report(Reader.AUTHOR, view=view), LANGUAGES["en"])
    for shown in ("went@here.example", "stayed@here.example", "member7@here.example", "postmaster@here.example"):
        assert shown in letter.text
        assert shown in letter.html
    assert "An administrator recalled a message that you wrote." in letter.text


@pytest.mark.rule(17)
@pytest.mark.parametrize(("tombstone", "said"), [(False, "not told"), (True, "a short notice was left")])
def test_r17_the_report_says_whether_a_notice_was_left(tombstone: bool, said: str):
    assert said in render(report(tombstone=tombstone), LANGUAGES["en"]).text


@pytest.mark.rule(12)
def test_r12_the_report_says_that_unreachable_copies_can_be_tried_again():
    unreachable = report(tally=Tally.of({Outcome.UNREACHABLE: 3}))
    assert "Ask for the recall again" in render(unreachable, LANGUAGES["en"]).text
    assert "Ask for the recall again" not in render(report(), LANGUAGES["en"]).text


def test_html_shows_hostile_text_as_text():
    hostile = "<script>alert(1)</script> & \"quotes\" <img src='http://x.example/'>"
    letter = render(
        report(subject=hostile, reason=hostile, groups=[Group("g@here.example", hostile, STAFF)]), LANGUAGES["en"]
    )
    assert "<script" not in letter.html
    assert "<img" not in letter.html
    assert words_of(letter.html).count(hostile) == 3


def test_html_fetches_nothing_and_stands_without_its_style_element():
    html = render(report(), LANGUAGES["en"]).html
    assert not re.search(r"https?://|src=|href=|url\(|@import|<script|<link|<iframe", html)
    body = html.partition("<body")[2]
    # whatever has a class for dark mode says its light colours itself
    for element in re.findall(r"<[a-z]+ [^>]*class=\"[^\"]*\b(?:ink|faint)\b[^>]*>", body):
        assert re.search(r"[;\"]color:#", element), element


@pytest.mark.parametrize("result", Result)
@pytest.mark.parametrize("code", LANGUAGES)
def test_html_is_well_formed(code: str, result: Result):
    class Nesting(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the parser's signature
            if tag not in ("meta", "br"):
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    parser = Nesting()
    parser.feed(render(report(result=result), LANGUAGES[code]).html)
    assert parser.open == []


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("a\r\nBcc: x@y.example", "a Bcc: x@y.example"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("a\x00\x1b[31mb\tc", "a[31mb c"),
        ("  ", "(no subject)"),
        ("line\u2028two", "line two"),
    ],
)
def test_subjects_are_one_harmless_line(subject: str, shown: str):
    letter = render(report(subject=subject), LANGUAGES["en"])
    assert letter.subject == f"Recalled from some: {shown}"
    assert f"\nSubject: {shown}\n" in letter.text


def test_long_subjects_are_cut_in_the_header_and_whole_in_the_letter():
    letter = render(report(subject="x" * 900), LANGUAGES["en"])
    assert len(letter.subject) == 120
    assert letter.subject.endswith("…")
    assert "x" * 900 in letter.text


def test_a_reason_of_several_lines_cannot_pass_for_the_report():
    letter = render(report(reason="first\r\nRecall number: none\rthird"), LANGUAGES["en"])
    assert "Reason: first\n  Recall number: none\n  third\n" in letter.text
    assert "first<br>Recall number: none<br>third" in letter.html


def test_a_recall_that_is_not_settled_has_no_report():
    running = replace(VIEW, state=State.RUNNING, result=None, settled_at=None)
    with pytest.raises(ValueError, match="not settled"):
        report(view=running)


@pytest.mark.parametrize(
    "counts",
    [
        {Outcome.RECALLED: 1},
        {Outcome.RECALLED: 999_999, Outcome.GONE: 1},
        dict.fromkeys(Outcome, 1),
        {outcome: 10**outcome.value for outcome in Outcome},
        {Outcome.RECALLED: 199, Outcome.ALREADY_READ: 199, Outcome.GONE: 2},
    ],
)
def test_the_bar_is_full_and_hides_nobody(counts: dict[Outcome, int]):
    parts = segments(Tally.of(counts))
    assert sum(part.width for part in parts) == 100
    assert min(part.width for part in parts) >= 1
    assert [part.outcome for part in parts] == sorted(counts)


def test_a_message_to_nobody_has_no_bar():
    assert segments(Tally({})) == []
    assert "Recalled from 0 of 0 recipients." in render(report(tally=Tally({})), LANGUAGES["en"]).text
