"""R9: how each recipient's part of a recall ended, and which outcome wins when several apply.

`ELIGIBILITY` is the one table of these rules. `decide` applies it to a copy in Python; the withdrawal's SQL is
generated from the same table (`outcome_case_sql`), and a property test holds the two equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from mailrecall.domain.copies import Fact


class Outcome(IntEnum):
    """The closed set of R9. The numbers are stored in the ledgers: never renumber, only add."""

    RECALLED = 1
    ALREADY_READ = 2
    ATTACHMENT_DOWNLOADED = 3
    FORWARDED = 4
    FETCHED_BY_POP3 = 5
    EXTERNAL = 6
    GONE = 7
    VETOED = 8
    UNREACHABLE = 9

    @property
    def slug(self) -> str:
        """The name R9 gives: what the API, reports and metrics call it."""
        return self.name.lower()

    @classmethod
    def from_slug(cls, slug: str) -> "Outcome":
        """Return the outcome that R9 calls `slug`; `KeyError` when there is none."""
        return cls[slug.upper()]


ELIGIBILITY: tuple[tuple[Fact, Outcome], ...] = (
    (Fact.READ, Outcome.ALREADY_READ),
    (Fact.ATTACHMENT_DOWNLOADED, Outcome.ATTACHMENT_DOWNLOADED),
    (Fact.FORWARDED, Outcome.FORWARDED),
    (Fact.FETCHED_BY_POP3, Outcome.FETCHED_BY_POP3),
    (Fact.DELETED, Outcome.GONE),
)
"""The facts that keep a copy where it is, strongest first: a copy read and then deleted was *read*, which is what the
sender has to know. A recipient outside the policy's scope never reaches this table: that copy is `EXTERNAL` (R1)."""

BLOCKING_FACTS = Fact(sum(fact for fact, _ in ELIGIBILITY))
"""A copy with any of these stays."""


def decide(facts: Fact | None) -> Outcome:
    """Return the outcome for one local copy in scope.

    Args:
        facts: what happened to the copy, or None when the mailbox holds no such copy any more.
    """
    if facts is None:
        return Outcome.GONE
    return next((outcome for fact, outcome in ELIGIBILITY if facts & fact), Outcome.RECALLED)


def outcome_case_sql(facts_column: str, otherwise: Outcome = Outcome.RECALLED) -> str:
    """Return the `CASE` expression that decides as `decide` does, for the shard to evaluate where the data is.

    Args:
        facts_column: where the facts stand.
        otherwise: the outcome of a copy that nothing keeps; where another copy's facts do (R13), it is `VETOED`.
    """
    arms = " ".join(f"WHEN {facts_column} & {fact.value} <> 0 THEN {outcome.value}" for fact, outcome in ELIGIBILITY)
    return f"CASE {arms} ELSE {otherwise.value} END"


@dataclass(frozen=True, slots=True)
class Tally:
    """How many recipients ended with each outcome; outcomes nobody had are left out."""

    counts: Mapping[Outcome, int]

    @classmethod
    def of(cls, counts: Mapping[Outcome, int]) -> "Tally":
        """Build a tally without its zeroes."""
        return cls({outcome: n for outcome, n in sorted(counts.items()) if n})

    def __getitem__(self, outcome: Outcome) -> int:
        return self.counts.get(outcome, 0)

    def __add__(self, other: "Tally") -> "Tally":
        keys = self.counts.keys() | other.counts.keys()
        return Tally.of({outcome: self[outcome] + other[outcome] for outcome in keys})

    @property
    def total(self) -> int:
        """All recipients counted here."""
        return sum(self.counts.values())

    def as_slugs(self) -> dict[str, int]:
        """Return the counts under the names of R9, in R9's order."""
        return {outcome.slug: n for outcome, n in sorted(self.counts.items())}

    @classmethod
    def from_slugs(cls, counts: Mapping[str, int]) -> "Tally":
        """Read back what `as_slugs` wrote."""
        return cls.of({Outcome.from_slug(slug): n for slug, n in counts.items()})
