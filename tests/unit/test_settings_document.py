"""docs/settings.md says of every setting what the code does."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from mailrecall.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "settings.md"


def kinds_of_settings() -> Iterator[type[Settings]]:
    """Settings itself and the classes that services make of it."""
    yield Settings
    for path in [*sorted((ROOT / "services").rglob("*.py")), ROOT / "mailrecall" / "flower.py"]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and any(
                isinstance(b, ast.Name) and b.id == "Settings" for b in node.bases
            ):
                module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
                yield getattr(module, node.name)


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return f"`{field.default}`" if field.default != "" else "empty"


def row(name: str, field: FieldInfo) -> str:
    description = " ".join((field.description or "").split()).replace("|", r"\|")
    return f"| `{PREFIX}{name.upper()}` | {default_of(field)} | {description} |"


def own_rows(kind: type[Settings]) -> list[str]:
    """The rows of what a class adds or changes, in the order of the code."""
    return [row(name, kind.model_fields[name]) for name in kind.__annotations__ if name in kind.model_fields]


@pytest.mark.parametrize("kind", list(kinds_of_settings()), ids=lambda kind: kind.__name__)
def test_the_document_has_every_setting_with_its_default(kind: type[Settings]):
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    assert [line for line in own_rows(kind) if line not in lines] == []


def test_the_document_has_no_setting_that_does_not_exist():
    known = {line for kind in kinds_of_settings() for line in own_rows(kind)}
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{PREFIX}")]
    assert [line for line in rows if line not in known] == []


def test_every_setting_says_what_it_means():
    silent = [
        name for kind in kinds_of_settings() for name, field in kind.model_fields.items() if not field.description
    ]
    assert silent == []
