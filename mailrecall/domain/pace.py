"""How fast a recall went: how many mailboxes were done in each stretch of its time.

A shard decides a whole range of mailboxes in one instant, and that instant is all that is kept: nothing is written per
recipient for this. A chart of it is a row of bars, one for each stretch; here is how long a stretch is, and what the
bars hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

MOST_STRETCHES: Final = 30
"""Bars that a phone, and a mail program's table, has room for."""
FEWEST_INSTANTS: Final = 3
"""Below that there is no chart: one bar says nothing, and two say what the moments beside them say in words. A recall
of a handful of copies, one range on each of two shards, has none."""

_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)
_MINUTES: Final = (1, 2, 5, 10, 20, 30)
_HOURS: Final = (1, 2, 4, 6, 12)
_LENGTHS: Final = (
    *(timedelta(seconds=n) for n in _SECONDS),
    *(timedelta(minutes=n) for n in _MINUTES),
    *(timedelta(hours=n) for n in _HOURS),
)
"""How long a stretch may be: what people count time in. Beyond these, whole days."""
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Extent:
    """How long a recall took, and in how many instants its mailboxes were done."""

    took: timedelta
    """From the moment it was allowed to begin until the last of them."""
    instants: int


@dataclass(frozen=True, slots=True)
class Pace:
    """A recall's mailboxes by the stretch of time in which they were done."""

    took: timedelta
    stretch: timedelta
    """The length of each stretch; the first begins with the recall."""
    done: tuple[int, ...]
    """How many were done in each; the last stretch is that in which the last of them was."""

    @property
    def most(self) -> int:
        """How many were done in the busiest stretch."""
        return max(self.done)

    @property
    def end(self) -> timedelta:
        """The end of the last stretch."""
        return self.stretch * len(self.done)


def stretch_of(extent: Extent) -> timedelta | None:
    """Return how long the stretches of a recall's time are; None where a chart of it would say nothing.

    The shortest of those that people count in with which there is room for all, and with which there are no more
    stretches than instants: else most bars would be gaps.
    """
    if extent.instants < FEWEST_INSTANTS:
        return None
    room = min(MOST_STRETCHES, extent.instants)
    days = extent.took // (room * _DAY) + 1
    stretch = next((length for length in _LENGTHS if extent.took // length < room), days * _DAY)
    # less than the shortest stretch: one bar would hold them all
    return stretch if extent.took >= stretch else None


def pace_of(extent: Extent, stretch: timedelta, done: Mapping[int, int]) -> Pace:
    """Put the stretches in a row, those in which nothing was done too.

    Args:
        extent: what `stretch` was made for.
        stretch: as `stretch_of` gave it.
        done: how many mailboxes were done in each stretch, by its number from 0.
    """
    return Pace(extent.took, stretch, tuple(done.get(number, 0) for number in range(extent.took // stretch + 1)))
