"""What comes after a company's days: retentions are over, mailboxes go on moving, and letters are asked back once more.

The company's books have been compared, so what its people see at the end of its days is what they are to see for good.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from mailrecall.directory.lookup import Account
from mailrecall.domain.outcomes import Outcome
from mailrecall.embedded.deadlines import poll
from tests.chaos import books, movers
from tests.chaos.hunt import Hunt
from tests.chaos.model import Letter
from tests.chaos.people import Being, ViolationError

MOVERS = 2
"""People whose mailboxes move when recalls of theirs were purged."""
_PATIENCE = 120.0

Shown = Mapping[int, frozenset[str]]
"""Which letters each person sees, by their subjects."""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """A company after its days."""

    accounts: Sequence[Account]
    postmaster: Account
    letters: Sequence[Letter]
    purged: Sequence[str]
    """Recalls whose retention is over."""
    shown: Shown

    @property
    def restored(self) -> Sequence[Letter]:
        """What a recall took and an undo put back."""
        return [letter for letter in self.letters if letter.recall and letter.undo_asked]


def begin(hunt: Hunt, people: Sequence[Being], postmaster: Being, letters: Sequence[Letter]) -> Aftermath:
    """Let the retention of every other recall be over (R26): workers purge them in the next company's days."""
    recalls = [letter.recall for letter in letters if letter.recall][::2]
    hunt.patiently(lambda: _age(hunt, recalls))
    accounts = [person.account for person in people]
    return Aftermath(accounts, postmaster.account, letters, recalls, _shown(people, letters))


def violations(hunt: Hunt, after: Aftermath) -> Iterator[str]:
    """Give everything that no rule allows of what comes after the days."""
    with ExitStack() as ending:
        people = [Being(hunt, account) for account in after.accounts]
        postmaster = Being(hunt, after.postmaster)
        for being in (*people, postmaster):
            ending.callback(being.close)
        if not poll(lambda: not hunt.patiently(lambda: _unpurged(hunt, after.purged)), timeout=_PATIENCE, pause=0.2):
            yield "recalls whose retention is over were not purged"
        _move(hunt, after.accounts[:MOVERS])
        yield from _changes(_shown(people, after.letters), after.shown)
        yield from _unanswered(postmaster, after.letters)
        yield from _unreadable(people, after.shown)
        yield from _recalled_anew(hunt, people, postmaster, after)


def _age(hunt: Hunt, recalls: Sequence[str]) -> None:
    with hunt.databases.control() as connection:
        connection.execute(
            "UPDATE recall SET settled_at = settled_at - interval '8 days' WHERE public_id = ANY (%s::uuid[])",
            (list(recalls),),
        )


def _unpurged(hunt: Hunt, recalls: Sequence[str]) -> int:
    with hunt.databases.control() as connection:
        row = connection.execute(
            "SELECT count(*) FROM recall WHERE public_id = ANY (%s::uuid[]) AND purged_at IS NULL", (list(recalls),)
        ).fetchone()
    assert row is not None
    return int(row[0])


def _move(hunt: Hunt, accounts: Sequence[Account]) -> None:
    for account in accounts:
        # what is away or in use is so for a moment
        if not poll(lambda: movers.move(hunt, account.id, None) is movers.Ended.MOVED, timeout=_PATIENCE, pause=0.5):  # noqa: B023
            raise ViolationError(f"mailbox {account.id} cannot be moved")


def _shown(people: Sequence[Being], letters: Sequence[Letter]) -> Shown:
    subjects = {letter.subject for letter in letters}
    return {number: frozenset(subjects & person.subjects()) for number, person in enumerate(people)}


def _changes(now: Shown, before: Shown) -> Iterator[str]:
    for person, subjects in before.items():
        if gone := sorted(subjects - now[person]):
            yield f"{gone} are gone from mailbox {person} since its days were over"
        if come := sorted(now[person] - subjects):
            yield f"{come} came to mailbox {person} since its days were over"


def _unanswered(postmaster: Being, letters: Sequence[Letter]) -> Iterator[str]:
    for letter in letters:
        for path in (f"/recalls/{letter.recall}", f"/recalls/{letter.recall}/failures"):
            if letter.recall and not (answer := postmaster.insist("GET", path)).is_success:
                yield f"{letter.subject}: {path} answered {answer.status_code} when its days were over"


def _unreadable(people: Sequence[Being], shown: Shown) -> Iterator[str]:
    """Look whether content that somebody still has is there: of one letter each, as each is read by that (R2)."""
    for number, subjects in shown.items():
        found = people[number].find(min(subjects)) if subjects else None
        if found is not None:
            answer = people[number].insist("GET", f"/messages/{found['id']}")
            if not answer.is_success or "Hello" not in answer.text:
                yield f"{min(subjects)}: its content is lost to mailbox {number} ({answer.status_code})"


def _recalled_anew(hunt: Hunt, people: Sequence[Being], postmaster: Being, after: Aftermath) -> Iterator[str]:
    """R26: ask back what had been put back, as if nobody had asked before."""
    again = after.restored
    earlier = {letter.subject: letter.recall for letter in again}
    for letter in again:
        letter.recall, letter.recall_doubtful = None, True
        letter.undo_asked = letter.undone_in_doubt = False
    books.settle(hunt, people, postmaster, again)
    now = _shown(people, again)
    for letter in again:
        if letter.recall == earlier[letter.subject]:
            yield f"{letter.subject}: asked back anew, it has the recall that was undone"
        outcomes = books.ledger(hunt, letter)
        if len(outcomes) != len(letter.copies):
            yield f"{letter.subject}: asked back anew, {len(letter.copies)} recipients, {len(outcomes)} outcomes"
        if letter.atomic and Outcome.RECALLED in outcomes.values() and len(set(outcomes.values())) > 1:
            yield f"{letter.subject}: asked back anew, half of it went: {sorted(set(outcomes.values()))}"
        for number in letter.copies:
            taken = outcomes.get(people[number].account.id) is Outcome.RECALLED
            before, is_there = (letter.subject in shown[number] for shown in (after.shown, now))
            if is_there is not (before and not taken):
                yield f"{letter.subject}: asked back anew, mailbox {number}: {before=}, {taken=}, {is_there=}"
