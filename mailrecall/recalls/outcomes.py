"""What a recall did to single recipients: the shards' ledgers tell it, or the delivery batches where no shard answered.

The counts are in `mailrecall.recalls.views` and need no shard. What is read here names recipients: whoever shows it to
an administrator leaves out those whose copy was recalled (R23).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import psycopg
from psycopg import Connection

from mailrecall import logs
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.policy import Kinship, Policy
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases, databases_of

log = logs.get(__name__)

_SQL = queries.load(
    __package__,
    "outcomes.sql",
    {outcome.name: str(outcome.value) for outcome in Outcome},
)

_PAGE = 2000
"""Rows read at a time."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where a recall's outcomes lie.

    `done` gives the shards that answered for at least one batch; `given_up` the batches that no shard answered for,
    with their shard. A shard can stand in both.
    """

    recall_id: int
    done: frozenset[int]
    given_up: Mapping[int, int]
    scope: Kinship = Kinship.SAME_ORGANISATION
    """R1: recipients further away are external."""

    def waits_for(self, shard: int) -> bool:
        """Tell whether the recall never had to give up on a shard: if so, its answer is worth waiting for."""
        return shard not in self.given_up.values()


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of a local recipient's copy, under the addressee that first led there (0: named directly)."""

    mailbox_id: int
    via: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class External:
    """A recipient outside the platform, under the addressee that first led there (0: named directly)."""

    address: str
    via: int


class Unknown(Enum):
    """Why an addressee has no outcome."""

    NEVER_DELIVERED = "never_delivered"
    """The mailbox closed between acceptance and delivery: there was no copy."""
    NOT_ANSWERED = "not_answered"
    """Its shard answered the recall and then answered no more; the counts have it, its name could not be read."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """One recipient that the envelope names directly, under the addresses it uses for it."""

    address: str
    outcome: Outcome | Unknown

    @property
    def known(self) -> Outcome | None:
        """The outcome, if there is one."""
        return None if isinstance(self.outcome, Unknown) else self.outcome


def locate(connection: Connection[Any], recall_id: int) -> Ledger:
    """Find out where a recall's outcomes lie; the connection is to the control database.

    Not on a shard that was removed: what lay there had moved before, or been purged (R26).
    """
    removed = databases_of(connection).settings.removed_shards
    rows = connection.execute(_SQL["batches"], {"recall_id": recall_id}).fetchall()
    return Ledger(
        recall_id,
        done=frozenset(shard for _batch, shard, given_up, _policy in rows if not given_up) - removed,
        given_up={batch: shard for batch, shard, given_up, _policy in rows if given_up},
        scope=Policy.from_mapping(rows[0][3] if rows else {}).furthest_in_scope,
    )


def of_addressees(databases: Databases, ledger: Ledger) -> list[Addressee]:
    """Give each recipient that the envelope names directly, however often, one entry with its outcome.

    Raises:
        psycopg.OperationalError: a shard that answered the whole recall does not answer now.
    """
    with databases.control() as connection:
        named = connection.execute(_SQL["named_directly"], {"recall_id": ledger.recall_id}).fetchall()
    mailbox_ids = {account_id: None for _address, account_id in named if account_id is not None}
    found: dict[int, Outcome] = {}
    absence = Unknown.NEVER_DELIVERED
    for shard in sorted(ledger.done) if mailbox_ids else ():
        answered = False
        with patience(ledger, shard):
            found |= of_mailboxes(databases, ledger, shard, list(mailbox_ids))
            answered = True
        if not answered:
            absence = Unknown.NOT_ANSWERED
    if mailbox_ids:
        found |= {one.mailbox_id: one.outcome for one in unanswered(databases, ledger) if one.mailbox_id in mailbox_ids}
    spellings: dict[int | str, list[str]] = {}
    standing: dict[int | str, Outcome | Unknown] = {}
    for address, account_id in named:
        recipient = address if account_id is None else account_id
        spellings.setdefault(recipient, []).append(address)
        standing[recipient] = Outcome.EXTERNAL if account_id is None else found.get(account_id, absence)
    return [Addressee(", ".join(spellings[recipient]), outcome) for recipient, outcome in standing.items()]


@contextmanager
def patience(ledger: Ledger, shard: int) -> Iterator[None]:
    """Go without a shard that does not answer, if the recall itself had to give up on that shard.

    The counts are complete in any case; what is missing is names. A shard that answered the whole recall comes back
    soon: its failure is the caller's, who tries again.
    """
    try:
        yield
    except psycopg.OperationalError:
        if ledger.waits_for(shard):
            raise
        log.warning("outcomes.shard_silent", recall_id=ledger.recall_id, shard=shard)


def of_mailboxes(databases: Databases, ledger: Ledger, shard: int, mailbox_ids: Sequence[int]) -> dict[int, Outcome]:
    """Return what one shard's ledger says of the given mailboxes; those it says nothing of are left out."""
    found: dict[int, Outcome] = {}
    for chunk in _chunks(mailbox_ids):
        parameters = {"recall_id": ledger.recall_id, "mailbox_ids": chunk, "given_up": list(ledger.given_up)}
        with databases.shard(shard) as connection:
            rows = connection.execute(_SQL["of_mailboxes"], parameters).fetchall()
        found |= {mailbox_id: Outcome(outcome) for mailbox_id, outcome in rows}
    return found


def failed_on(databases: Databases, ledger: Ledger, shard: int, after: int = 0) -> Iterator[Standing]:
    """Go through the recipients on one shard whose copies stayed, by mailbox id; one page is in memory at a time."""
    while True:
        parameters = {
            "recall_id": ledger.recall_id,
            "after": after,
            "recalled": Outcome.RECALLED,
            "given_up": list(ledger.given_up),
            "limit": _PAGE,
        }
        with databases.shard(shard) as connection:
            rows = connection.execute(_SQL["failed"], parameters).fetchall()
        yield from (Standing(mailbox_id, via, Outcome(outcome)) for mailbox_id, via, outcome in rows)
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def unreachable(databases: Databases, ledger: Ledger) -> Iterator[Standing]:
    """Go through the recipients that no shard answered for, and whose copies stayed or may have."""
    return (one for one in unanswered(databases, ledger) if one.outcome is not Outcome.RECALLED)


def unanswered(databases: Databases, ledger: Ledger, *, batch: int | None = None) -> Iterator[Standing]:
    """Go through the recipients that no shard answered for: no ledger names them, the delivery batches do.

    What had not been delivered to them either counts as recalled (R16). With `batch` only those of that one.
    """
    for number in ledger.given_up if batch is None else (batch,):
        parameters = {"recall_id": ledger.recall_id, "batch": number, "furthest": ledger.scope.value}
        with databases.control() as connection:
            rows = connection.execute(_SQL["recipients_of_batch"], parameters).fetchall()
        yield from (Standing(mailbox_id, via, Outcome(outcome)) for mailbox_id, via, outcome in rows)


def externals(databases: Databases, recall_id: int, after: str = "") -> Iterator[External]:
    """Go through the recipients outside the platform, by address. Local ones out of scope are in the ledgers (R1)."""
    while True:
        parameters = {"recall_id": recall_id, "after": after, "limit": _PAGE}
        with databases.control() as connection:
            rows = connection.execute(_SQL["externals"], parameters).fetchall()
        yield from (External(address, via) for address, via in rows)
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def addresses(connection: Connection[Any], mailbox_ids: Sequence[int]) -> dict[int, str]:
    """Return the own address of each mailbox; the connection is to the control database."""
    found: dict[int, str] = {}
    for chunk in _chunks(mailbox_ids):
        found |= dict(connection.execute(_SQL["addresses"], {"mailbox_ids": chunk}).fetchall())
    return found


def _chunks(mailbox_ids: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(mailbox_ids), _PAGE):
        yield list(mailbox_ids[start : start + _PAGE])
