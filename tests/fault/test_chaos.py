"""A little of `make chaos`, so that the machine itself is tried: it finds nothing, and does find what was planted."""

import pytest

from mailrecall.domain.copies import Fact
from tests.chaos.running import hunting, run

pytestmark = pytest.mark.timeout(1800)


def test_random_people_and_random_blows_violate_no_rule():
    with hunting() as scene:
        report = run(scene, number=7, operations=150, faults=4)

    assert report.violations == []
    assert report.operations.total() >= 150
    assert report.blows.total() >= 4


def test_a_bug_planted_on_purpose_is_found():
    with hunting(plant=True) as scene:
        report = run(scene, number=7, operations=5_000, faults=0)

    # which of the books shows it is a matter of who was quicker: all name the copy, and what is known of it
    assert any(repr(Fact.READ) in violation for violation in report.violations), report.violations
