"""What a company does in its days, and what is noted of each answer; the rules of the machine choose among it."""

import itertools
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

from hypothesis.errors import HypothesisException
from hypothesis.stateful import RuleBasedStateMachine

from mailrecall.directory.groups import Group
from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.embedded.deadlines import poll
from mailrecall.faultpoints import Commit
from tests.chaos import blows, books
from tests.chaos.aftermath import Aftermath
from tests.chaos.hunt import Hunt
from tests.chaos.model import Answer, CopyModel, Letter
from tests.chaos.people import Being
from tests.chaos.report import Report

PEOPLE = 6


def noting(step: Callable[..., None]) -> Callable[..., None]:
    """Write down what a step raises, and do nothing more once something was found.

    Raised through hypothesis it would be tried again, on a stack that has changed since, and the report would be lost.
    """

    @wraps(step)
    def noted(machine: "Days", *args: Any, **kwargs: Any) -> None:
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


class Days(RuleBasedStateMachine):
    """One company: its people, their letters, and the blow that lasts."""

    hunt: ClassVar[Hunt]
    report: ClassVar[Report]
    aftermaths: ClassVar[list[Aftermath]]
    """Of the company before."""
    numbers: ClassVar["itertools.count[int]"] = itertools.count(1)

    def __init__(self) -> None:
        super().__init__()
        self.atomic = False
        self.team: Group
        self.postmaster: Being
        self.people: list[Being] = []
        self.everybody: list[Being] = []
        self.letters: list[Letter] = []
        self.since_move = 0
        self.struck: blows.Struck | None = None
        self.blow_ends_in = 0

    def _come_near(self, commit: Commit | None, which: int) -> None:
        """Do something, so that somebody comes to where a blow fell or lies in wait."""
        recalled = [letter for letter in self.letters if letter.recall and not letter.undo_asked]
        kept = [letter for letter in self.letters if letter.kept_one and not letter.recall_asked]
        if commit in blows.OF_UNDO and recalled:
            self._undo(recalled[which % len(recalled)])
        elif commit is Commit.RELEASE and kept:
            self._recall(kept[which % len(kept)])
        elif letter := self._write(which % PEOPLE, {which % PEOPLE}, team=True):
            self._recall(letter)

    def _delivered_letter(self, which: int) -> Letter | None:
        """Return a letter that nobody asked back, once it is delivered, as a rule."""
        fresh = [letter for letter in self.letters if not letter.recall_asked]
        letter = fresh[which % len(fresh)] if fresh else self._write(which % PEOPLE, {which % PEOPLE}, team=True)
        if letter is not None:
            poll(lambda: self.hunt.patiently(lambda: books.is_delivered(self.hunt, letter)), timeout=10, pause=0.1)
        return letter

    def _write(self, sender: int, named: set[int], *, team: bool) -> Letter | None:
        subject = f"Letter {next(self.numbers)}."
        to = [self.people[person].account.address for person in sorted(named)] + [self.team.address] * team
        attachment = {"filename": "a.pdf", "content_type": "application/pdf", "content": "JVBERi0xLjQK"}
        message = {"to": to, "subject": subject, "text": "Hello", "delay": 0, "attachments": [attachment]}
        answer = self.people[sender].ask("POST", "/messages", json=message)
        self._count("write", answered=answer is not None)
        if answer is None:
            return None
        if not answer.is_success:
            self.violated(f"{subject} was refused: {answer.status_code} {answer.text[:200]}")
            return None
        recipients = named | (set(range(PEOPLE // 2)) if team else set())
        copies = {person: CopyModel() for person in recipients}
        letter = Letter(subject, sender, answer.json()["id"], copies, self.atomic)
        self.letters.append(letter)
        return letter

    def _recall(self, letter: Letter, *, by_postmaster: bool = False) -> None:
        message_id = letter.message if by_postmaster else letter.sent_copy
        asker = self.postmaster if by_postmaster else self.people[letter.sender]
        letter.recall_doubtful = True  # from now on, whatever the answer
        asking = {"message_id": message_id, "reason": "Sent in error"}
        answer = asker.ask("POST", "/recalls", json=asking)
        self._count("recall by the postmaster" if by_postmaster else "recall", answered=answer is not None)
        if answer is None:
            return
        recall = answer.json().get("id")
        if not answer.is_success or letter.recall not in (None, recall):
            self.violated(f"{letter.subject}: {answer.status_code} for a recall, {recall} after {letter.recall}")
        letter.recall = recall

    def _undo(self, letter: Letter) -> None:
        seen = self.postmaster.ask("GET", f"/recalls/{letter.recall}")
        self._count("look at a recall", answered=seen is not None)
        if seen is None or seen.json().get("state") != "settled":
            return
        # from now on, whatever the answer
        letter.ask_undo(unreachable=Outcome.UNREACHABLE.slug in seen.json()["outcomes"])
        answer = self.postmaster.ask("POST", f"/recalls/{letter.recall}/undo")
        self._count("undo", answered=answer is not None)
        if answer is not None and not answer.is_success:
            letter.undo_refused()
            if answer.json().get("code") != "nothing_to_restore":
                self.violated(f"{letter.subject}: {answer.status_code} for an undo: {answer.text[:200]}")

    def _end_blow(self) -> None:
        struck, self.struck = self.struck, None
        if struck is None:
            return
        self.report.since_blow = 0
        if struck.end():
            self.report.blows[struck.name] += 1

    def _choose(self, which: int) -> tuple[Letter, int, CopyModel]:
        # most of what was asked for is gone soon
        fresh = [letter for letter in self.letters if not letter.recall_asked]
        letters = fresh if fresh and which % 4 else self.letters
        letter = letters[which % len(letters)]
        owners = sorted(letter.copies)
        person = owners[which // len(letters) % len(owners)]
        return letter, person, letter.copies[person]

    def _happened(self, letter: Letter, copy: CopyModel, fact: Fact | None, answer: Answer) -> None:
        self.report.unanswered += answer is Answer.UNKNOWN
        if answer is Answer.ABSENT:
            self._absent(letter, copy)
        else:
            if answer is Answer.DONE:
                self._present(letter, copy)
            if fact is not None:
                letter.note(copy, fact, answer)

    def _absent(self, letter: Letter, copy: CopyModel) -> None:
        if not letter.absent(copy):
            self.violated(f"{letter.subject} is away: {copy} of {letter.copies}")

    def _present(self, letter: Letter, copy: CopyModel) -> None:
        if not letter.present(copy):
            self.violated(f"{letter.subject} is there, though another copy is gone: {copy} of {letter.copies}")

    def _count(self, operation: str, *, answered: bool = True) -> None:
        self.report.operations[operation] += 1
        self.report.unanswered += not answered
        self.report.since_blow += 1
        self.since_move += 1
        self.blow_ends_in -= 1
        if self.struck is not None and (self.blow_ends_in <= 0 or self.struck.lay_in_wait_and_fell()):
            self._end_blow()

    def violated(self, what: str) -> None:
        """Write down what no rule allows."""
        self.report.violations.append(what)
