"""The machine: a hypothesis state machine whose rules are what people do, and now and then a blow.

Each example founds a company of its own on one running stack, so examples do not meet; the seed decides everything but
where a blow finds the processes.
"""

import itertools
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mailrecall.directory.groups import Group
from mailrecall.domain.copies import Fact
from tests import company
from tests.chaos import blows, books, movers
from tests.chaos.model import Answer, CopyModel, Letter
from tests.chaos.people import Being
from tests.fault.scene import Scene

PEOPLE = 6
BETWEEN_BLOWS = 20
"""Operations between two blows, at least: the stack is to be found working, too."""
BETWEEN_MOVES = 5

_ANYBODY = st.integers(0, PEOPLE - 1)
_WHICH = st.integers(0, 1_000_000)


@dataclass(slots=True)
class Report:
    """What a run did and found."""

    operations: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    blows: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    """What became of recalls."""
    violations: list[str] = field(default_factory=list)


def _noting(step: Callable[..., None]) -> Callable[..., None]:
    """Write down what a step raises, and do nothing more once something was found.

    Raised through hypothesis it would be tried again, on a stack that has changed since, and the report would be lost.
    """

    @wraps(step)
    def noted(machine: "Chaos", *args: Any, **kwargs: Any) -> None:
        if machine.report.violations:
            return
        try:
            step(machine, *args, **kwargs)
        except HypothesisException:
            raise
        except AssertionError as violation:
            machine.violated(str(violation))
        except Exception as error:  # noqa: BLE001 - a fault of the machine's own ends the run too, and is to be seen
            where = traceback.extract_tb(error.__traceback__)[-1]
            machine.violated(f"{step.__name__}: {error!r} at {where.name}:{where.lineno}")

    return noted


class Chaos(RuleBasedStateMachine):
    """One company's days."""

    scene: ClassVar[Scene]
    report: ClassVar[Report]
    numbers: ClassVar["itertools.count[int]"] = itertools.count(1)

    def __init__(self) -> None:
        super().__init__()
        self.people: list[Being] = []
        self.everybody: list[Being] = []
        self.letters: list[Letter] = []
        self.since_blow = self.since_move = 0

    @initialize(atomic=st.booleans())
    @_noting
    def found(self, atomic: bool) -> None:
        """Found a company, with a group of half its people; in every other one recalls take all or nothing (R13)."""
        self.atomic = atomic
        databases, switches = self.scene.databases, {"group_mode": "all_or_nothing" if atomic else "each"}

        def founded() -> tuple[company.Company, Group]:
            # tried again, all of it is founded anew under another name: an answer that got lost leaves names taken
            firm = company.found(databases, people=PEOPLE, switches=switches)
            return firm, company.group(databases, f"team@{firm.domain}", firm.people[: PEOPLE // 2])

        firm, self.team = self.scene.patiently(founded)
        self.people = [Being(self.scene, person) for person in firm.people]
        self.postmaster = Being(self.scene, firm.postmaster)
        self.everybody = [*self.people, self.postmaster]

    @rule(sender=_ANYBODY, direct=st.sets(_ANYBODY, max_size=3), team=st.booleans())
    @_noting
    def write(self, sender: int, direct: set[int], team: bool) -> None:
        """Write to some people, or the group, or both (R13: whoever is meant twice gets one copy)."""
        named = direct or (set() if team else {sender})
        subject = f"Letter {next(self.numbers)}."
        to = [self.people[person].account.address for person in sorted(named)] + [self.team.address] * team
        attachment = {"filename": "a.pdf", "content_type": "application/pdf", "content": "JVBERi0xLjQK"}
        message = {"to": to, "subject": subject, "text": "Hello", "delay": 0, "attachments": [attachment]}
        answer = self.people[sender].ask("POST", "/messages", json=message)
        self._count("write", answered=answer is not None)
        if answer is None:
            return
        if not answer.is_success:
            self.violated(f"{subject} was refused: {answer.status_code} {answer.text[:200]}")
            return
        recipients = named | (set(range(PEOPLE // 2)) if team else set())
        copies = {person: CopyModel() for person in recipients}
        self.letters.append(Letter(subject, sender, answer.json()["id"], copies, self.atomic))

    @precondition(lambda self: self.letters)
    @rule(which=_WHICH, what=st.sampled_from(["read", "fetch", "forward", "mark", "delete", "look", "imap", "pop3"]))
    @_noting
    def use(self, which: int, what: str) -> None:
        """Do something to a copy, in webmail or with a mail program."""
        letter, person, copy = self._choose(which)
        being = self.people[person]
        if what in ("imap", "pop3"):
            self._count(what)
            if what == "imap":
                self._happened(letter, copy, Fact.READ, being.read_by_imap(letter.subject))
            else:
                self._happened(letter, copy, Fact.FETCHED_BY_POP3, being.fetch_by_pop3(letter.subject))
            return
        found = being.find(letter.subject)
        if found is None:
            self._count("look")
            self._absent(letter, copy)
            return
        self._present(letter, copy)
        path = f"/messages/{found['id']}"
        match what:
            case "read":
                self._happened(letter, copy, Fact.READ, being.act("GET", path))
            case "fetch":
                self._happened(letter, copy, Fact.ATTACHMENT_DOWNLOADED, being.act("GET", f"{path}/attachments/0"))
            case "forward":
                to = {"to": [self.people[0].account.address], "comment": ""}
                self._happened(letter, copy, Fact.FORWARDED, being.act("POST", f"{path}/forward", json=to))
            case "delete":
                self._happened(letter, copy, Fact.DELETED, being.act("DELETE", path, params={"permanent": "true"}))
            case "mark":
                being.act("PATCH", path, json={"unread": True})  # no fact: changes nothing
        self._count(what)

    @precondition(lambda self: self.letters)
    @rule(which=_WHICH)
    @_noting
    def recall(self, which: int) -> None:
        """Ask for a letter back, for the first time or again (R12)."""
        letter = self.letters[which % len(self.letters)]
        if letter.undo_asked:
            return  # it could be recalled anew
        asking = {"message_id": letter.sent_copy, "reason": "Sent in error"}
        letter.recall_doubtful = True  # from now on, whatever the answer
        answer = self.people[letter.sender].ask("POST", "/recalls", json=asking)
        self._count("recall", answered=answer is not None)
        if answer is None:
            return
        recall = answer.json().get("id")
        if not answer.is_success or letter.recall not in (None, recall):
            self.violated(f"{letter.subject}: {answer.status_code} for a recall, {recall} after {letter.recall}")
        letter.recall = recall

    @precondition(lambda self: any(letter.recall for letter in self.letters))
    @rule(which=_WHICH)
    @_noting
    def undo(self, which: int) -> None:
        """Have the postmaster put back what a recall took, once it has settled (R26)."""
        recalled = [letter for letter in self.letters if letter.recall]
        letter = recalled[which % len(recalled)]
        seen = self.postmaster.ask("GET", f"/recalls/{letter.recall}")
        self._count("look at a recall", answered=seen is not None)
        if seen is None or seen.json().get("state") != "settled":
            return
        letter.settled = letter.undo_asked = True  # from now on, whatever the answer
        answer = self.postmaster.ask("POST", f"/recalls/{letter.recall}/undo")
        self._count("undo", answered=answer is not None)
        if answer is not None and not answer.is_success:
            letter.undo_asked = False
            if answer.json().get("code") != "nothing_to_restore":
                self.violated(f"{letter.subject}: {answer.status_code} for an undo: {answer.text[:200]}")

    @precondition(lambda self: self.letters and self.since_move >= BETWEEN_MOVES)
    @rule(person=_ANYBODY, which=_WHICH, dies=st.booleans())
    @_noting
    def move(self, person: int, which: int, dies: bool) -> None:
        """Move a mailbox to the other shard; where a blow is due, the mover can die of it at one of its steps."""
        dies_at = self._least_struck(movers.DEATHS, which) if dies and self.since_blow >= BETWEEN_BLOWS else None
        ended = movers.move(self.scene, self.people[person].account.id, dies_at)
        self._count("move", answered=ended is not movers.Ended.FAILED)
        self.since_move = 0
        if ended is movers.Ended.DIED:
            self.since_blow = 0
            self.report.blows[str(dies_at)] += 1

    @precondition(lambda self: self.since_blow >= BETWEEN_BLOWS)
    @rule(which=_WHICH)
    @_noting
    def blow(self, which: int) -> None:
        """Strike, by every blow in its turn."""
        name = self._least_struck(sorted(blows.BLOWS), which)
        if blows.strike(self.scene, name):
            self.since_blow = 0
            self.report.blows[name] += 1

    def teardown(self) -> None:
        """Let everything come to its end, and look at the books."""
        try:
            self._look_at_the_books()
        finally:
            for being in self.everybody:
                being.close()

    @_noting
    def _look_at_the_books(self) -> None:
        if not self.everybody:
            return
        books.settle(self.scene, self.people, self.postmaster, self.letters)
        self.report.violations += books.violations(self.scene, self.people, self.letters)
        self.report.endings += books.endings(self.scene, self.letters)

    def _least_struck(self, names: Sequence[str], which: int) -> str:
        """Choose among the blows that came least often: what is drawn keeps to few of them."""
        least = min(self.report.blows[name] for name in names)
        candidates = [name for name in names if self.report.blows[name] == least]
        return candidates[which % len(candidates)]

    def _choose(self, which: int) -> tuple[Letter, int, CopyModel]:
        letter = self.letters[which % len(self.letters)]
        owners = sorted(letter.copies)
        person = owners[which // len(self.letters) % len(owners)]
        return letter, person, letter.copies[person]

    def _happened(self, letter: Letter, copy: CopyModel, fact: Fact, answer: Answer) -> None:
        self.report.unanswered += answer is Answer.UNKNOWN
        if answer is Answer.ABSENT:
            self._absent(letter, copy)
        else:
            if answer is Answer.DONE:
                self._present(letter, copy)
            letter.note(copy, fact, answer)

    def _absent(self, letter: Letter, copy: CopyModel) -> None:
        if not letter.absent(copy):
            self.violated(f"{letter.subject} is away: {copy}")

    def _present(self, letter: Letter, copy: CopyModel) -> None:
        if not letter.present(copy):
            self.violated(f"{letter.subject} is there, though another copy is gone: {copy}")

    def _count(self, operation: str, *, answered: bool = True) -> None:
        self.report.operations[operation] += 1
        self.report.unanswered += not answered
        self.since_blow += 1
        self.since_move += 1

    def violated(self, what: str) -> None:
        """Write down what no rule allows."""
        self.report.violations.append(what)
