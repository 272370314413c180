"""R18: how fast a recall went, in both forms of its report."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from mailrecall.domain.pace import Extent, pace_of
from services.reports.languages import LANGUAGES
from services.reports.rendering import HIGHEST_COLUMN, columns, render
from tests.unit.test_report_rendering import FINDINGS, report, words_of

PACE = pace_of(Extent(timedelta(seconds=4.2), 6), timedelta(seconds=1), {0: 12_000, 1: 300, 4: 45})
FAST = replace(FINDINGS, pace=PACE)
SAID = {
    "en": ["Mailboxes done over time", "All done in 4.2 sec; at most 12,000 within 1 sec."],
    "zh": ["各时段完成的邮箱数", "全部完成用时 4.2秒；最快时 1秒内完成 12,000 个。"],
}


@pytest.mark.rule(18)
@pytest.mark.parametrize("code", LANGUAGES)
def test_r18_both_forms_say_how_fast_it_went(code: str):
    letter = render(report(findings=FAST), LANGUAGES[code])
    for said in SAID[code]:
        assert said in letter.text
        assert said in words_of(letter.html)
    assert words_of(letter.html).count({"en": "2.5 sec", "zh": "2.5秒"}[code]) == 1


@pytest.mark.rule(18)
def test_r18_the_letter_draws_it_in_cells_alone():
    html = render(report(findings=FAST), LANGUAGES["en"]).html
    assert not re.findall(r"<(?:svg|img|script|link)\b", html)
    heights = [int(height) for height in re.findall(r'<td height="(\d+)" bgcolor="#4a78dd"', html)]
    assert heights == [column.height for column in columns(PACE) if column.count] == [HIGHEST_COLUMN, 2, 2]
    assert html.count(f'height="{HIGHEST_COLUMN}" style=') == len(PACE.done) == 5


@pytest.mark.rule(18)
@pytest.mark.parametrize("code", LANGUAGES)
def test_r18_a_recall_of_a_handful_has_no_chart(code: str):
    letter = render(report(), LANGUAGES[code])
    for said in SAID[code]:
        assert said not in letter.text + letter.html
    assert "\n\n\n\n" not in letter.text


@pytest.mark.parametrize("busiest", [1, 45, 1_000_000, 10**12])
def test_a_column_is_seen_unless_nothing_was_done(busiest: int):
    drawn = columns(pace_of(Extent(timedelta(seconds=2), 3), timedelta(seconds=1), {0: busiest, 2: 1}))
    assert [column.height > 0 for column in drawn] == [True, False, True]
    assert max(column.height for column in drawn) == HIGHEST_COLUMN
