"""Documents point at files and headings that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def prose(path: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """What a page's headings are called in its address: as GitHub does it, small, without marks, hyphens for spaces."""
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"\w+:", target):
            continue
        place, _, anchor = target.partition("#")
        there = path.parent / place if place else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_whoever_is_told_to_restore_or_to_add_a_shard_is_told_the_command():
    runbook = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    for restored in re.finditer(r"lost commits|\*\*Restore\*\*", runbook):
        assert "`mailrecall reconcile`" in runbook[restored.start() : restored.end() + 250]
    assert "`mailrecall shards add N`" in runbook
