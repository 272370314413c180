"""The machine: a hypothesis state machine whose rules are what people do, and now and then a blow.

Each example founds a company of its own on one running stack, so examples do not meet; the seed decides everything but
where a blow finds the processes.
"""

from contextlib import suppress

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from mailrecall.directory.groups import Group
from mailrecall.domain.copies import Fact
from tests import company
from tests.chaos import aftermath, blows, books, leftovers, movers
from tests.chaos.days import PEOPLE, Days, noting
from tests.chaos.model import Answer
from tests.chaos.people import Being

BETWEEN_BLOWS = 20
"""Operations from the end of a blow to the next, at least: the stack is to be found working, too."""
LONGEST_BLOW = 15
"""Operations that a blow lasts at most, or lies in wait for somebody."""
BETWEEN_MOVES = 5

IN_WEBMAIL = ("read", "mark read", "fetch", "forward", "mark unread", "delete", "look")
_ANYBODY = st.integers(0, PEOPLE - 1)
_WHICH = st.integers(0, 1_000_000)


class Chaos(Days):
    """One company's days."""

    @initialize(atomic=st.booleans())
    @noting
    def found(self, atomic: bool) -> None:
        """Found a company, with a group of half its people; in every other one recalls take all or nothing (R13)."""
        self.atomic = atomic
        databases, switches = self.hunt.databases, {"group_mode": "all_or_nothing" if atomic else "each"}

        def founded() -> tuple[company.Company, Group]:
            # tried again, all of it is founded anew under another name: an answer that got lost leaves names taken
            firm = company.found(databases, people=PEOPLE, switches=switches)
            return firm, company.group(databases, f"team@{firm.domain}", firm.people[: PEOPLE // 2])

        firm, self.team = self.hunt.patiently(founded)
        self.people = [Being(self.hunt, person) for person in firm.people]
        self.postmaster = Being(self.hunt, firm.postmaster)
        self.everybody = [*self.people, self.postmaster]

    @rule(sender=_ANYBODY, direct=st.sets(_ANYBODY, max_size=3), team=st.booleans())
    @noting
    def write(self, sender: int, direct: set[int], team: bool) -> None:
        """Write to some people, or the group, or both (R13: whoever is meant twice gets one copy)."""
        self._write(sender, direct or (set() if team else {sender}), team=team)

    @precondition(lambda self: self.letters)
    @rule(which=_WHICH, what=st.sampled_from(["imap", "imap seen", "imap copy", "pop3"]))
    @noting
    def use_program(self, which: int, what: str) -> None:
        """Do something to a copy with a mail program."""
        letter, person, copy = self._choose(which)
        being = self.people[person]
        self._count(what)
        match what:
            case "imap":
                self._happened(letter, copy, Fact.READ, being.read_by_imap(letter.subject))
            case "imap seen":
                self._happened(letter, copy, Fact.READ, being.mark_seen_by_imap(letter.subject))
            case "imap copy":
                copied = being.copy_by_imap(letter.subject)
                copy.copied = copy.copied or copied is not Answer.ABSENT
                self._happened(letter, copy, None, copied)
            case "pop3":
                self._happened(letter, copy, Fact.FETCHED_BY_POP3, being.fetch_by_pop3(letter.subject))

    @precondition(lambda self: self.letters)
    @rule(which=_WHICH, what=st.sampled_from(IN_WEBMAIL))
    @noting
    def use(self, which: int, what: str) -> None:
        """Do something to a copy in webmail."""
        letter, person, copy = self._choose(which)
        being = self.people[person]
        looked, found = being.look(letter.subject)
        if found is None:
            self._count("look", answered=looked is not Answer.UNKNOWN)
            if looked is Answer.ABSENT:
                self._absent(letter, copy)
            return
        self._present(letter, copy)
        path = f"/messages/{found['id']}"
        match what:
            case "read":
                self._happened(letter, copy, Fact.READ, being.act("GET", path))
            case "mark read":
                self._happened(letter, copy, Fact.READ, being.act("PATCH", path, json={"unread": False}))
            case "fetch":
                self._happened(letter, copy, Fact.ATTACHMENT_DOWNLOADED, being.act("GET", f"{path}/attachments/0"))
            case "forward":
                to = {"to": [self.people[0].account.address], "comment": ""}
                self._happened(letter, copy, Fact.FORWARDED, being.act("POST", f"{path}/forward", json=to))
            case "delete" if not copy.copied:  # else the copy of the copy takes its place
                self._happened(letter, copy, Fact.DELETED, being.act("DELETE", path, params={"permanent": "true"}))
            case "mark unread":
                being.act("PATCH", path, json={"unread": True})  # no fact: changes nothing
        self._count(what)

    @precondition(lambda self: self.letters)
    @rule(which=_WHICH, by_postmaster=st.booleans())
    @noting
    def recall(self, which: int, by_postmaster: bool) -> None:
        """Ask for a letter back, for the first time or again (R12)."""
        letter = self.letters[which % len(self.letters)]
        if not letter.undo_asked:  # it could be recalled anew
            self._recall(letter, by_postmaster=by_postmaster)

    @precondition(lambda self: self.letters)
    @rule(which=_WHICH, most=st.integers(1, 3))
    @noting
    def recall_many(self, which: int, most: int) -> None:
        """Have the postmaster ask for some letters back at once (R21)."""
        at = which % len(self.letters)
        letters = [letter for letter in self.letters[at : at + most] if not letter.undo_asked]
        if not letters:
            return
        for letter in letters:
            letter.recall_doubtful = True  # its number is learned by asking again
        asking = {"message_ids": [letter.message for letter in letters], "reason": "Sent in error"}
        answer = self.postmaster.ask("POST", "/admin/recall-batches", json=asking)
        self._count("recall many", answered=answer is not None)
        if answer is not None and not answer.is_success:
            self.violated(f"{answer.status_code} for a batch: {answer.text[:200]}")

    @precondition(lambda self: any(letter.recall and not letter.undo_asked for letter in self.letters))
    @rule(which=_WHICH)
    @noting
    def undo(self, which: int) -> None:
        """Have the postmaster put back what a recall took, once it has settled (R26)."""
        recalled = [letter for letter in self.letters if letter.recall and not letter.undo_asked]
        self._undo(recalled[which % len(recalled)])

    @precondition(lambda self: self.letters and self.since_move >= BETWEEN_MOVES)
    @rule(person=_ANYBODY, which=_WHICH, dies=st.booleans())
    @noting
    def move(self, person: int, which: int, dies: bool) -> None:
        """Move a mailbox to the other shard; where a blow is due soon, the mover can die of it at one of its steps."""
        due = self.struck is None and self.report.since_blow >= BETWEEN_BLOWS // 2
        deadly = dies and due and self.report.movers_are_due()
        dies_at = blows.least_struck(self.report.aimed, movers.DEATHS, which) if deadly else None
        ended = movers.move(self.hunt, self.people[person].account.id, dies_at)
        self._count("move", answered=ended is not movers.Ended.FAILED)
        self.since_move = 0
        if ended is movers.Ended.DIED:
            self.report.since_blow = 0
            self.report.aimed[str(dies_at)] += 1
            self.report.blows[str(dies_at)] += 1

    @invariant()
    @noting
    def blow(self) -> None:
        """Strike as soon as that is due, by every blow in its turn; it ends by itself after some operations."""
        if self.struck is not None or self.report.since_blow < BETWEEN_BLOWS:
            return
        # a rule would be left out of many examples, as hypothesis does with rules
        which = self.report.operations.total() * 7919
        restorable = [letter for letter in self.letters if letter.recall and not letter.undo_asked]
        name = blows.next_due(self.report.aimed, which, atomic=self.atomic, restoring=bool(restorable))
        self.report.aimed[name] += 1
        # what a shard never got counts as recalled (R16): unreachable is only what it has
        delivered = self._delivered_letter(which) if name in blows.PAST_THE_DEADLINE else None
        self.struck = blows.strike(self.hunt, name)
        if self.struck is None:
            return
        self.blow_ends_in = 1 + which % LONGEST_BLOW if self.struck.fallen() else LONGEST_BLOW
        if name in blows.AT_ONCE:
            self._end_blow()
        elif delivered:
            self._recall(delivered)
        else:
            self._come_near(blows.commit_of(name), which)

    def teardown(self) -> None:
        """Let everything come to its end, and look at the books."""
        try:
            self._look_at_the_books()
        finally:
            # whatever was found, nothing may stay away
            with suppress(AssertionError):
                self._end_blow()
            for being in self.everybody:
                being.close()

    @noting
    def _look_at_the_books(self) -> None:
        if not self.everybody:
            return
        self._end_blow()
        self.report.endings["tried again"] += books.settle(self.hunt, self.people, self.postmaster, self.letters)
        self.report.violations += books.violations(self.hunt, self.people, self.letters)
        self.report.violations += leftovers.found(self.hunt, self.letters, self.postmaster.account.organisation_id)
        self.report.endings += books.endings(self.hunt, self.letters)
        for after in self.aftermaths:
            self.report.endings.update({"purged": len(after.purged), "asked back anew": len(after.restored)})
            self.report.violations += aftermath.violations(self.hunt, after)
        self.aftermaths[:] = [aftermath.begin(self.hunt, self.people, self.postmaster, self.letters)]
