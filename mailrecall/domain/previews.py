"""R25: what a recall would come to if it were asked for now, from what is known of the copies."""

from collections.abc import Mapping

from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.domain.policy import GroupMode

_HARMLESS = frozenset({Outcome.RECALLED, Outcome.EXTERNAL})
"""Outcomes that keep no other copy from going: R1 says so of external recipients."""


def foresee_batch(expected: Mapping[int, int], found: Mapping[int, Tally], *, delivered: bool) -> dict[int, Tally]:
    """Foresee the outcomes of one delivery batch, by addressee (`via`).

    Args:
        expected: the recipients in scope that the batch names.
        found: what a recall would decide of the copies that lie on the shard.
        delivered: whether the batch was deposited. Then a missing copy is `gone`; before, it counts as `recalled`, for
            it would never appear (R16).
    """
    missing = Outcome.GONE if delivered else Outcome.RECALLED
    foreseen = {}
    for via, recipients in expected.items():
        tally = found.get(via, Tally({}))
        foreseen[via] = tally + Tally.of({missing: max(recipients - tally.total, 0)})
    return foreseen


def foresee(by_via: Mapping[int, Tally], mode: GroupMode) -> dict[int, Tally]:
    """Foresee a whole recall (R13): in mode `all_or_nothing` one copy that has to stay keeps all others too."""
    stays = any(outcome not in _HARMLESS for tally in by_via.values() for outcome in tally.counts)
    if mode is not GroupMode.ALL_OR_NOTHING or not stays:
        return dict(by_via)
    return {
        via: Tally.of(
            {
                **{outcome: n for outcome, n in tally.counts.items() if outcome is not Outcome.RECALLED},
                Outcome.VETOED: tally[Outcome.RECALLED] + tally[Outcome.VETOED],
            }
        )
        for via, tally in by_via.items()
    }
