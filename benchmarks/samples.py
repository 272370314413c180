"""Numbers from several runs, and what can be said of them: pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import median


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least a share of all values do not exceed (nearest rank).

    Args:
        values: in any order, at least one.
        share: from above 0 to 1, such as 0.99.
    """
    if not values:
        raise ValueError("there is no quantile of nothing")
    if not 0 < share <= 1:
        raise ValueError(f"a share lies above 0 and not above 1; got {share}")
    return sorted(values)[ceil(share * len(values)) - 1]


@dataclass(slots=True)
class Samples:
    """The measurements of one quantity, one a round."""

    values: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Add a round's measurement."""
        self.values.append(value)

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return median(self.values)

    def as_json(self) -> dict[str, object]:
        """Return the median with what it was taken from."""
        return {"median": self.median, "values": self.values}


@dataclass(frozen=True, slots=True)
class Latency:
    """How long single requests took, in seconds."""

    count: int
    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        """Sum up a list of durations."""
        return cls(len(seconds), quantile(seconds, 0.5), quantile(seconds, 0.99))

    def as_json(self) -> dict[str, object]:
        """Return the numbers under their names."""
        return {"count": self.count, "p50_seconds": self.p50, "p99_seconds": self.p99}
