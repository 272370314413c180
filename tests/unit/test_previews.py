"""What a recall would come to (R25), from what is known of the copies."""

import pytest

from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.domain.policy import GroupMode
from mailrecall.domain.previews import foresee, foresee_batch

EACH, ALL = GroupMode.EACH, GroupMode.ALL_OR_NOTHING


def tally(**counts: int) -> Tally:
    return Tally.of({Outcome.from_slug(slug): n for slug, n in counts.items()})


@pytest.mark.rule(16, 25)
@pytest.mark.parametrize(
    ("expected", "found", "delivered", "foreseen"),
    [
        ({0: 3}, {0: tally(recalled=2, already_read=1)}, True, {0: tally(recalled=2, already_read=1)}),
        # copies that are not there any more, and copies that never will be
        ({0: 3}, {0: tally(recalled=1)}, True, {0: tally(recalled=1, gone=2)}),
        ({0: 3}, {}, True, {0: tally(gone=3)}),
        ({0: 3}, {}, False, {0: tally(recalled=3)}),
        # by addressee; what the ledger does not expect is nobody's
        ({0: 1, 2: 2}, {2: tally(forwarded=1)}, True, {0: tally(gone=1), 2: tally(forwarded=1, gone=1)}),
        ({0: 1}, {0: tally(recalled=1), 7: tally(recalled=1)}, True, {0: tally(recalled=1)}),
        ({}, {}, True, {}),
    ],
)
def test_r16_r25_a_batch_is_foreseen_from_what_lies_on_its_shard(expected, found, delivered, foreseen):
    assert foresee_batch(expected, found, delivered=delivered) == foreseen


@pytest.mark.rule(13, 25)
@pytest.mark.parametrize(
    ("mode", "by_via", "foreseen"),
    [
        (EACH, {0: tally(recalled=2, already_read=1)}, {0: tally(recalled=2, already_read=1)}),
        (ALL, {0: tally(recalled=2), 1: tally(recalled=1)}, {0: tally(recalled=2), 1: tally(recalled=1)}),
        (ALL, {0: tally(recalled=2), 1: tally(external=1)}, {0: tally(recalled=2), 1: tally(external=1)}),
        (
            ALL,
            {0: tally(recalled=2), 1: tally(already_read=1, recalled=4)},
            {0: tally(vetoed=2), 1: tally(already_read=1, vetoed=4)},
        ),
        (ALL, {0: tally(recalled=2, gone=1)}, {0: tally(vetoed=2, gone=1)}),
        (ALL, {}, {}),
    ],
)
def test_r13_r25_all_or_nothing_is_foreseen_as_such(mode, by_via, foreseen):
    assert foresee(by_via, mode) == foreseen
