"""What a run did and found."""

from collections import Counter
from dataclasses import dataclass, field

from tests.chaos import blows, movers


@dataclass(slots=True)
class Report:
    """Counts, and what no rule allows."""

    operations: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    blows: Counter[str] = field(default_factory=Counter)
    aimed: Counter[str] = field(default_factory=Counter)
    """Blows that were struck, whether or not anybody was hit."""
    since_blow: int = 0
    """Operations since the last blow, of whichever company."""
    endings: Counter[str] = field(default_factory=Counter)
    """What became of recalls."""
    violations: list[str] = field(default_factory=list)

    def movers_are_due(self) -> bool:
        """Tell whether movers die no more often than their kind of blow is to come."""
        return sum(self.aimed[name] for name in movers.DEATHS) * (len(blows.KINDS) + 1) <= self.aimed.total()

    def kinds_of_blows(self) -> dict[str, int]:
        """Count what was hit by kind, so that it is seen that all kinds came."""
        kinds = {kind: sum(self.blows[name] for name in names) for kind, names in blows.KINDS.items()}
        return {**kinds, "a mover killed": sum(self.blows[name] for name in movers.DEATHS)}
