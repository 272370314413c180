"""The pages speak both languages completely."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

PAGES = Path(__file__).parents[2] / "services" / "gateway" / "pages"
CATALOGUES = sorted(PAGES.rglob("locale/zh/LC_MESSAGES/*.po"))
KEYWORDS = {"_": None, "gettext": None, "lazy": None, "N_": None, "ngettext": (1, 2)}
PLACEHOLDER = re.compile(r"%\(\w+\)s")


def texts(catalogue: Path) -> set[str]:
    """The texts that code and templates have, by their English."""
    folder = catalogue.parents[3]
    with (folder / "locale" / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)
    found = extract_from_dir(str(folder), methods, options, keywords=KEYWORDS)
    return {message[0] if isinstance(message, tuple) else message for _, _, message, _, _ in found}


def translated(catalogue: Path) -> dict[str, str]:
    """The Chinese by the English; of what has a plural in English, by its singular."""
    with catalogue.open("rb") as file:
        messages = [message for message in read_po(file, locale="zh") if message.id]
    return {first(message.id): first(message.string) for message in messages}


def first(texts: str | Sequence[str] | None) -> str:
    return (texts if isinstance(texts, str) else texts[0]) if texts else ""


def test_there_are_catalogues():
    assert CATALOGUES


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.stem)
def test_every_text_is_there_in_chinese(catalogue: Path):
    known = translated(catalogue)
    assert sorted(text for text in texts(catalogue) if not known.get(text)) == [], "make translations, then translate"


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.stem)
def test_translations_take_the_same_values(catalogue: Path):
    unlike = {
        english: chinese
        for english, chinese in translated(catalogue).items()
        if set(PLACEHOLDER.findall(english)) != set(PLACEHOLDER.findall(chinese))
    }
    assert unlike == {}


def test_chinese_has_one_word_for_one_thing():
    """Undo send is 撤销, undo of a recall 恢复; an organisation is 单位; what a text quotes is called so."""
    chinese = {english: text for catalogue in CATALOGUES for english, text in translated(catalogue).items()}
    assert {english for english, text in chinese.items() if "撤销" in text and "Undo" not in english} == set()
    assert {english for english, text in chinese.items() if "组织" in text} == set()
    quoting = {
        (english, quoted): chinese[quoted]
        for english in chinese
        for quoted in re.findall("“([^”%]+)”", english)
        if quoted in chinese
    }
    assert quoting
    assert {key for key, text in quoting.items() if f"“{text}”" not in chinese[key[0]]} == set()


def test_chinese_of_what_is_undone_by_a_recalls_undo():
    chinese = translated(next(catalogue for catalogue in CATALOGUES if catalogue.stem == "console"))
    undone = {english: text for english, text in chinese.items() if re.search(r"\b[Uu]ndo(ne)?\b", english)}
    assert undone
    assert {english for english, text in undone.items() if "恢复" not in text} == set()
