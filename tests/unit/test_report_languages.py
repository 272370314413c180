"""R18: every text of a report exists in every language, and numbers and moments look as its readers write them."""

from datetime import UTC, datetime, timedelta, timezone
from importlib.resources import files
from pathlib import Path

import pytest
from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

from services.reports.languages import DOMAIN, LANGUAGES

REPORTS = Path(str(files("services.reports")))


def catalogue(code: str) -> Catalog:
    with (REPORTS / "locale" / code / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


def extracted() -> Catalog:
    """What the code and the templates ask for, found as `pybabel extract` finds it."""
    with (REPORTS / "locale" / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)
    found = Catalog()
    for filename, line, message, _comments, context in extract_from_dir(REPORTS, methods, options):
        found.add(message, locations=[(filename, line)], context=context)
    return found


def keys(messages: Catalog) -> set[object]:
    return {message.id for message in messages if message.id}


@pytest.mark.rule(18)
def test_r18_there_is_a_catalogue_for_each_language_an_account_can_have():
    assert set(LANGUAGES) == {"en", "zh"}


@pytest.mark.rule(18)
@pytest.mark.parametrize("code", LANGUAGES)
def test_r18_no_message_lacks_a_translation(code: str):
    assert keys(catalogue(code)) == keys(extracted())
    for message in catalogue(code):
        if message.id:
            strings = message.string if isinstance(message.string, tuple) else (message.string,)
            assert all(strings), message.id
            assert not message.fuzzy, message.id
    assert not catalogue(code).obsolete


@pytest.mark.rule(18)
@pytest.mark.parametrize("code", LANGUAGES)
def test_r18_translations_keep_every_placeholder(code: str):
    for message in catalogue(code):
        assert list(message.check()) == [], message.id


@pytest.mark.rule(18)
def test_r18_nothing_but_names_is_the_same_in_both_languages():
    english, chinese = catalogue("en"), catalogue("zh")
    same = [m.id for m in chinese if m.id and isinstance(m.string, str) and m.string == english[m.id].string]
    assert same == []


@pytest.mark.parametrize(
    ("code", "n", "said"),
    [
        ("en", 1, "1 more is counted above but could not be listed."),
        ("en", 0, "0 more are counted above but could not be listed."),
        ("en", 2, "2 more are counted above but could not be listed."),
        ("en", 12_345, "12,345 more are counted above but could not be listed."),
        ("zh", 1, "另有 1 位已计入上方统计，但无法列出。"),
        ("zh", 12_345, "另有 12,345 位已计入上方统计，但无法列出。"),
    ],
)
def test_plural_forms(code: str, n: int, said: str):
    singular = "%(number)s more is counted above but could not be listed."
    plural = "%(number)s more are counted above but could not be listed."
    assert LANGUAGES[code].ngettext(singular, plural, n) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 10, "0%"),
        (10, 10, "100%"),
        (1, 3, "33.3%"),
        (1, 1_000_000, "0.1%"),
        (999_999, 1_000_000, "99.9%"),
        (0, 0, "0%"),
    ],
)
def test_shares_never_round_to_nothing_or_to_all(part: int, whole: int, said: str):
    assert [language.percent(part, whole) for language in LANGUAGES.values()] == [said, said]


@pytest.mark.parametrize(
    ("code", "said"), [("en", "December 31, 2026, 11:30:00\u202fPM UTC"), ("zh", "2026年12月31日 UTC 23:30:00")]
)
def test_moments_are_in_utc_and_say_so(code: str, said: str):
    in_shanghai = datetime(2027, 1, 1, 7, 30, tzinfo=timezone(timedelta(hours=8)))
    assert LANGUAGES[code].moment(in_shanghai) == said
    assert LANGUAGES[code].moment(in_shanghai.astimezone(UTC)) == said
