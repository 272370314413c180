"""R23: the accounts whose copies stayed, with the reason, in one order from any place on. Nobody else is ever read.

The order is that in which they can be had without sorting: shard by shard along the ledgers, then the batches that no
shard answered for, then the recipients outside.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice

import psycopg

from mailrecall import logs
from mailrecall.domain.outcomes import Outcome
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import outcomes
from mailrecall.recalls.outcomes import Ledger

log = logs.get(__name__)

_AT_A_TIME = 1000
"""Addresses looked up at once."""


class Part(IntEnum):
    """The parts of the list, in their order."""

    LEDGER = 0
    UNANSWERED = 1
    OUTSIDE = 2


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the list, right behind an entry of it."""

    part: Part
    number: int
    """The shard, or the batch."""
    after: int | str
    """The mailbox, or the address outside."""


START = Place(Part.LEDGER, 0, 0)


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipient whose copy stayed."""

    address: str
    via: int
    """The position of the addressee that led there (0: named directly)."""
    outcome: Outcome
    place: Place


@dataclass(frozen=True, slots=True)
class Page:
    """Part of the list; `next_place` leads on, if there is more."""

    failures: Sequence[Failure]
    next_place: Place | None
    complete: bool
    """False where a shard that the recall had to give up on does not answer now: who kept a copy there is missing."""


class _Walk:
    """Goes through the list from a place on, and remembers whether a shard was passed over."""

    def __init__(self, databases: Databases, ledger: Ledger) -> None:
        self.complete = True
        self._databases = databases
        self._ledger = ledger

    def entries(self, start: Place) -> Iterator[tuple[int | str, int, Outcome, Place]]:
        """Yield mailbox or address, addressee, outcome and place."""
        if start.part is Part.LEDGER:
            for shard in sorted(shard for shard in self._ledger.done if shard >= start.number):
                yield from self._of_shard(shard, int(start.after) if shard == start.number else 0)
        if start.part <= Part.UNANSWERED:
            here = start.part is Part.UNANSWERED
            for batch in sorted(batch for batch in self._ledger.given_up if not here or batch >= start.number):
                after = int(start.after) if here and batch == start.number else 0
                for one in outcomes.unanswered(self._databases, self._ledger, batch=batch):
                    # not delivered either: it counts as recalled (R16), so it is not for this list
                    if one.mailbox_id > after and one.outcome is not Outcome.RECALLED:
                        yield one.mailbox_id, one.via, one.outcome, Place(Part.UNANSWERED, batch, one.mailbox_id)
        beyond = str(start.after) if start.part is Part.OUTSIDE else ""
        for outside in outcomes.externals(self._databases, self._ledger.recall_id, beyond):
            yield outside.address, outside.via, Outcome.EXTERNAL, Place(Part.OUTSIDE, 0, outside.address)

    def _of_shard(self, shard: int, after: int) -> Iterator[tuple[int, int, Outcome, Place]]:
        try:
            for one in outcomes.failed_on(self._databases, self._ledger, shard, after):
                yield one.mailbox_id, one.via, one.outcome, Place(Part.LEDGER, shard, one.mailbox_id)
        except psycopg.OperationalError:
            if self._ledger.waits_for(shard):
                raise
            log.warning("failures.shard_silent", recall_id=self._ledger.recall_id, shard=shard)
            self.complete = False


def page(databases: Databases, ledger: Ledger, *, start: Place, limit: int) -> Page:
    """Return a page of the accounts whose copies stayed.

    Raises:
        psycopg.OperationalError: a shard that answered the whole recall does not answer now.
    """
    walk = _Walk(databases, ledger)
    # one more than was asked for tells whether there is a next page
    found = list(islice(_named(databases, walk.entries(start)), limit + 1))
    return Page(found[:limit], found[limit - 1].place if len(found) > limit else None, walk.complete)


def all_of(databases: Databases, ledger: Ledger) -> Iterator[Failure]:
    """Go through all accounts whose copies stayed; some of them are in memory at a time."""
    return _named(databases, _Walk(databases, ledger).entries(START))


def _named(databases: Databases, entries: Iterator[tuple[int | str, int, Outcome, Place]]) -> Iterator[Failure]:
    while portion := list(islice(entries, _AT_A_TIME)):
        mailboxes = [who for who, _via, _outcome, _place in portion if isinstance(who, int)]
        with databases.control() as control:
            addresses = outcomes.addresses(control, mailboxes) if mailboxes else {}
        for who, via, outcome, place in portion:
            address = addresses.get(who) if isinstance(who, int) else who
            # an account that was removed altogether has no address left
            if address is not None:
                yield Failure(address, via, outcome, place)
