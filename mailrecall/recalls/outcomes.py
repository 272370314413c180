"""What a recall did to single recipients: the shards' ledgers tell it, or the delivery batches where no shard answered.

The counts are in `mailrecall.recalls.views` and need no shard. What is read here names recipients: whoever shows it to
an administrator leaves out those whose copy was recalled (R23).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from mailrecall.domain.outcomes import Outcome
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases

_SQL = queries.load(__package__, "outcomes.sql")

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

    def waits_for(self, shard: int) -> bool:
        """Tell whether the recall never had to give up on a shard: if so, its answer is worth waiting for."""
        return shard not in self.given_up.values()


@dataclass(frozen=True, slots=True)
class Failed:
    """A local recipient whose copy stayed, under the addressee that first led there (0: named directly)."""

    mailbox_id: int
    via: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class External:
    """A recipient outside the platform, under the addressee that first led there (0: named directly)."""

    address: str
    via: int


def locate(connection: Connection[Any], recall_id: int) -> Ledger:
    """Find out where a recall's outcomes lie; the connection is to the control database."""
    rows = connection.execute(_SQL["batches"], {"recall_id": recall_id}).fetchall()
    return Ledger(
        recall_id,
        done=frozenset(shard for _batch, shard, given_up in rows if not given_up),
        given_up={batch: shard for batch, shard, given_up in rows if given_up},
    )


def of_mailboxes(databases: Databases, ledger: Ledger, shard: int, mailbox_ids: Sequence[int]) -> dict[int, Outcome]:
    """Return what one shard's ledger says of the given mailboxes; those it says nothing of are left out."""
    found: dict[int, Outcome] = {}
    for chunk in _chunks(mailbox_ids):
        parameters = {"recall_id": ledger.recall_id, "mailbox_ids": chunk, "given_up": list(ledger.given_up)}
        with databases.shard(shard) as connection:
            rows = connection.execute(_SQL["of_mailboxes"], parameters).fetchall()
        found |= {mailbox_id: Outcome(outcome) for mailbox_id, outcome in rows}
    return found


def failed_on(databases: Databases, ledger: Ledger, shard: int) -> Iterator[Failed]:
    """Go through the recipients on one shard whose copies stayed, by mailbox id; one page is in memory at a time."""
    after = 0
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
        yield from (Failed(mailbox_id, via, Outcome(outcome)) for mailbox_id, via, outcome in rows)
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def unreachable(databases: Databases, ledger: Ledger) -> Iterator[Failed]:
    """Go through the recipients that no shard answered for: no ledger names them, the delivery batches do."""
    for batch in ledger.given_up:
        parameters = {"recall_id": ledger.recall_id, "batch": batch}
        with databases.control() as connection:
            rows = connection.execute(_SQL["recipients_of_batch"], parameters).fetchall()
        for mailbox_ids, via in rows:
            yield from (Failed(m, v, Outcome.UNREACHABLE) for m, v in zip(mailbox_ids, via, strict=True))


def externals(databases: Databases, recall_id: int) -> Iterator[External]:
    """Go through the recipients outside the platform, by address. Local ones out of scope are in the ledgers (R1)."""
    after = ""
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
