"""docs/directory.md says how files must look: what it shows must load, and to the same directory either way."""

import re
from pathlib import Path

import pytest

from mailrecall import clock
from mailrecall.directory import files, loading
from mailrecall.directory.listing import Kind
from mailrecall.directory.loading import Loaded

DOCUMENT = Path(__file__).parents[2] / "docs" / "directory.md"


def examples(folder: Path) -> list[Path]:
    """The documented JSON file and the documented folder of CSV files, written out."""
    text = DOCUMENT.read_text(encoding="utf-8")
    (json_text,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (folder / "company.json").write_text(json_text, encoding="utf-8")
    lists = folder / "lists"
    lists.mkdir()
    for name, content in re.findall(r"^`(\w+\.csv)`:\n\n```csv\n(.*?)```", text, re.DOTALL | re.MULTILINE):
        (lists / name).write_text(content, encoding="utf-8")
    return [folder / "company.json", lists]


def test_the_documented_examples_load(databases, tmp_path):
    json_file, csv_folder = examples(tmp_path)
    assert {path.stem for path in csv_folder.iterdir()} == set(Kind)
    with databases.control() as connection:
        assert loading.load_path(connection, json_file, now=clock.now()) == Loaded(1, 1, 3, 2, 1, 4)
        assert loading.load_path(connection, csv_folder, now=clock.now()) == Loaded(0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_field_is_documented(kind):
    (row,) = re.findall(rf"^\| `{kind}` \|(.*)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    required, optional = (set(re.findall(r"`(\w+)`", column)) for column in row.split("|")[:2])
    assert required == files.REQUIRED[kind]
    assert optional - {"en", "zh", "true", "false"} == files.OPTIONAL.get(kind, set())
