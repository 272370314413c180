"""R27: writing the audit trail in the transaction of what it tells, and reading it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from mailrecall.domain.trail import GENESIS, Entry, Head, Record, chain
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "trail.sql")

NEWEST = 2**63 - 1
"""A number that no record reaches: where the newest page begins."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A record as an administrator reads it."""

    record: Record
    actor_address: str | None
    """Of the account that did it."""
    recall: UUID | None
    """The recall's public id."""


def append(connection: Connection[Any], entry: Entry, *, now: datetime) -> Record:
    """Append a record to its organisation's chain, in the caller's control transaction: both commit, or neither.

    Call it last: from here to the end of the transaction, whatever else is recorded in the organisation waits.

    Raises:
        TypeError: the details hold what a record cannot hold.
    """
    (record,) = append_all(connection, [entry], now=now)
    return record


def append_all(connection: Connection[Any], entries: Sequence[Entry], *, now: datetime) -> list[Record]:
    """Append records of one organisation in their order, as `append` does one; any number in two round trips.

    Raises:
        TypeError: the details hold what a record cannot hold.
        ValueError: the entries are of several organisations.
    """
    if not entries:
        return []
    entry = entries[0]
    if any(other.organisation_id != entry.organisation_id for other in entries):
        raise ValueError("Each organisation has a chain of its own: append its records by themselves.")
    keys = {"organisation_id": entry.organisation_id}
    row = connection.execute(_SQL["lock_head"], keys).fetchone()
    if row is None:
        connection.execute(_SQL["begin_chain"], {**keys, "head": GENESIS})
        row = connection.execute(_SQL["lock_head"], keys).fetchone()
    if row is None:
        raise AssertionError(f"the audit chain of organisation {entry.organisation_id} vanished")
    head = Head(row[0], bytes(row[1]))
    records = []
    for one in entries:
        record = chain(one, head, now=now)
        head = Head(record.number, record.hash)
        records.append(record)
    with connection.cursor() as cursor:
        cursor.executemany(_SQL["append"], [_row(record) for record in records])
    return records


def _row(record: Record) -> dict[str, object]:
    return {
        "organisation_id": record.organisation_id,
        "number": record.number,
        "at": record.at,
        "event": record.event,
        "actor": record.actor,
        "account_id": record.account_id,
        "recall_id": record.recall_id,
        "message_id": record.message_id,
        "details": Jsonb(dict(record.details)),
        "previous": record.previous,
        "hash": record.hash,
    }


def page(
    connection: Connection[Any], organisation_id: int, *, recall: UUID | None, before: int, limit: int
) -> Sequence[Shown]:
    """Return records of an organisation, newest first.

    Args:
        connection: to the control database.
        organisation_id: whose trail.
        recall: only what tells of this recall, if one is given.
        before: only records with smaller numbers; `NEWEST` for all.
        limit: how many at most.
    """
    parameters = {"organisation_id": organisation_id, "recall": recall, "before": before, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["page" if recall is None else "page_of_recall"], parameters).fetchall()
    return [Shown(record_of(row), row["actor_address"], row["recall_public_id"]) for row in rows]


def record_of(row: dict[str, Any]) -> Record:
    """Return a row of the table as a record; columns of other tables are passed over."""
    known = {name: row[name] for name in Record.__dataclass_fields__}
    return Record(**{**known, "previous": bytes(row["previous"]), "hash": bytes(row["hash"])})
