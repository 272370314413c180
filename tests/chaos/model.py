"""What is known of each copy, and which outcomes a recall may therefore write down for it (R2, R4 to R9, R13, R26).

The stack is asked through its protocols while parts of it die, so an answer can be missing: what may have happened is
kept apart from what is known to have happened.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import combinations

from mailrecall.domain.copies import Fact, message_of
from mailrecall.domain.outcomes import Outcome, decide


class Answer(Enum):
    """What somebody who did something to a copy was told."""

    DONE = auto()
    """It was acknowledged, and so it is durable."""
    ABSENT = auto()
    """There is no such copy."""
    UNKNOWN = auto()
    """No answer, or a failure that says to try again: it may have happened or not."""


@dataclass(slots=True)
class CopyModel:
    """One recipient's copy."""

    before: set[Fact] = field(default_factory=set)
    """Known to have happened before anybody asked for a recall."""
    known: set[Fact] = field(default_factory=set)
    possible: set[Fact] = field(default_factory=set)
    later: set[Fact] = field(default_factory=set)
    """Known to have happened after the recall had settled, which it changes nothing of."""
    later_possible: set[Fact] = field(default_factory=set)
    seen: bool = False
    """Somebody was shown it, so it was delivered."""
    copied: bool = False
    """Its owner may have made a copy of it (IMAP COPY), which the recall reaches like the copy itself."""

    @property
    def deleted(self) -> bool:
        """Whether its owner was told that it is deleted."""
        return Fact.DELETED in self.known | self.later

    @property
    def may_be_deleted(self) -> bool:
        """Whether its owner asked for that, at least."""
        return self.deleted or Fact.DELETED in self.possible | self.later_possible

    def outcomes(self) -> set[Outcome]:
        """Return what the ledger may say once the recall is settled, each copy by itself."""
        # what was acknowledged was done to a copy that was there: it kept the copy, or something before it did
        return {decide(facts) for facts in self._facts_at_decision() if facts or not self.known}

    def outcomes_if_all_stay(self) -> set[Outcome]:
        """R13: return what the ledger may say where no copy went: why this one stays, or that it does for others."""
        decided = {decide(facts) for facts in self._facts_at_decision()}
        return {Outcome.VETOED if outcome is Outcome.RECALLED else outcome for outcome in decided}

    def _facts_at_decision(self) -> Iterator[Fact]:
        uncertain = (self.known | self.possible) - self.before
        for size in range(len(uncertain) + 1):
            for chosen in combinations(sorted(uncertain), size):
                facts = Fact(0)
                for fact in (*self.before, *chosen):
                    facts |= fact
                yield facts


@dataclass(slots=True)
class Letter:
    """A message that was accepted, with everybody who was to get it."""

    subject: str
    sender: int
    """Who wrote it: a place in the company's list of people, as all people here."""
    sent_copy: int
    copies: dict[int, CopyModel]
    atomic: bool = False
    """R13: a recall takes all copies or none."""
    recall: str | None = None
    """The id of the recall that was asked for."""
    recall_doubtful: bool = False
    """A recall was asked for, and the answer was lost."""
    settled: bool = False
    """The recall was seen to be settled."""
    undo_asked: bool = False
    """R26: an undo may be under way, or done."""
    undone_in_doubt: bool = False
    """R26: the undo was asked for while some copies counted as unreachable: what was counted of them stays."""
    vanished: bool = False
    """R13: a copy that had been there is gone by the recall, so all are."""

    @property
    def message(self) -> int:
        """The message itself, as administrators know it."""
        return message_of(self.sent_copy)

    @property
    def recall_asked(self) -> bool:
        """Whether a recall may be under way."""
        return self.recall is not None or self.recall_doubtful

    @property
    def kept_one(self) -> bool:
        """Whether something was acknowledged that keeps a copy."""
        return any(copy.known or (copy.later and not self.undo_asked) for copy in self.copies.values())

    def ask_undo(self, *, unreachable: bool) -> None:
        """An undo is asked for, so the recall was seen to be settled; some copies may count as unreachable."""
        self.settled = self.undo_asked = True
        self.undone_in_doubt = unreachable

    def undo_refused(self) -> None:
        """There is nothing to be undone; where a shard had not answered, the recall may be tried again (R12)."""
        self.undo_asked = False
        if self.undone_in_doubt:
            self.settled = self.undone_in_doubt = False
            for copy in self.copies.values():
                copy.known |= copy.later
                copy.possible |= copy.later_possible
                copy.later, copy.later_possible = set(), set()

    def note(self, copy: CopyModel, fact: Fact, answer: Answer) -> None:
        """Write down what somebody did to a copy."""
        if answer is Answer.DONE:
            (copy.later if self.settled else copy.known).add(fact)
            if not self.recall_asked:
                copy.before.add(fact)
        elif answer is Answer.UNKNOWN:
            (copy.later_possible if self.settled else copy.possible).add(fact)

    def absent(self, copy: CopyModel) -> bool:
        """Note that an owner was told that there is no such copy; False when no rule allows that."""
        if copy.may_be_deleted or not copy.seen:
            return True  # or perhaps still on its way
        # a fact that was acknowledged keeps the copy, whenever the recall decided
        if not self.recall_asked or copy.known or copy.later or (self.atomic and self.kept_one):
            return False
        self.vanished = self.atomic and not self.undo_asked
        return True

    def present(self, copy: CopyModel) -> bool:
        """Note that an owner was shown the copy; False when that is half of a recall (R13)."""
        copy.seen = True
        return self.undo_asked or not self.vanished
