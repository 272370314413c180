"""Charts drawn on the server, as shapes that a template writes down: no script, no style, nothing to load."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.domain.pace import Pace

_ROUND: Final = 100.0
"""The length of a whole ring, whatever its radius: `pathLength` of its circle."""
_LEAST: Final = 0.8
"""So long is the shortest arc: what happened to one of a hundred thousand is seen too."""

STEP: Final = 10.0
"""From one bar's beginning to the next one's, the gap between them included."""
_GAP: Final = 2.0
HIGHEST: Final = 100.0
_LOWEST: Final = 2.0
"""So high is the lowest bar: one of a million is seen too."""


@dataclass(frozen=True, slots=True)
class Arc:
    """One outcome's part of a ring, in hundredths of the whole."""

    outcome: Outcome
    count: int
    length: float
    start: float
    """From the top, clockwise."""


@dataclass(frozen=True, slots=True)
class Ring:
    """A breakdown by outcome."""

    arcs: Sequence[Arc]
    total: int
    """All there are, those without an outcome yet included."""
    done: int


def ring(tally: Tally, total: int) -> Ring:
    """Divide a ring by outcome; what has no outcome yet stays open."""
    whole = max(total, tally.total)
    lengths = {outcome: max(_LEAST, _ROUND * n / whole) for outcome, n in tally.counts.items()} if whole else {}
    # what the shortest were given, the longest gives
    if lengths and (over := sum(lengths.values()) - _ROUND * tally.total / whole) > 0:
        longest = max(lengths, key=lambda outcome: lengths[outcome])
        lengths[longest] -= over
    arcs, start = [], 0.0
    for outcome, length in lengths.items():
        arcs.append(Arc(outcome, tally[outcome], round(length, 3), round(start, 3)))
        start += length
    return Ring(arcs, whole, tally.total)


@dataclass(frozen=True, slots=True)
class Bar:
    """What was done in one stretch of a recall's time."""

    count: int
    since: timedelta
    until: timedelta
    x: float
    width: float
    height: float
    """Of `HIGHEST`, which is the busiest stretch."""


@dataclass(frozen=True, slots=True)
class Bars:
    """How fast a recall went."""

    pace: Pace
    bars: Sequence[Bar]
    """Of those stretches in which something was done."""
    width: float
    """Of all, gaps included."""


def bars(pace: Pace | None) -> Bars | None:
    """Draw a bar for each stretch in which something was done; the others keep their places."""
    if pace is None:
        return None
    drawn = [
        Bar(
            count,
            since=pace.stretch * number,
            until=pace.stretch * (number + 1),
            x=number * STEP + _GAP / 2,
            width=STEP - _GAP,
            height=round(max(_LOWEST, HIGHEST * count / pace.most), 2),
        )
        for number, count in enumerate(pace.done)
        if count
    ]
    return Bars(pace, drawn, STEP * len(pace.done))
