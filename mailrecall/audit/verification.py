"""R27: checking the chains, and writing them out. Records pass by one at a time, however long the trail is."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from mailrecall.audit.trail import record_of
from mailrecall.domain.trail import Break, Fault, Head, Record, find_break
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "trail.sql")

_PAGE = 1000
"""Records that are fetched at a time."""


@dataclass(frozen=True, slots=True)
class Chain:
    """An organisation's chain, as the database says that it ends."""

    organisation_id: int
    organisation: str
    head: Head


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of checking."""

    records: int
    chains: int
    breaks: Sequence[Break]
    """The first of each chain that is broken: what follows it proves nothing."""
    heads_not_found: Sequence[bytes]
    """Heads noted earlier that no sound chain leads to: its end was cut off, or all of it written anew."""

    @property
    def sound(self) -> bool:
        """Whether all is as it was written."""
        return not self.breaks and not self.heads_not_found


def heads(connection: Connection[Any], organisation_id: int | None = None) -> list[Chain]:
    """Return where each chain ends; to be noted where whoever can change the database cannot."""
    rows = connection.execute(_SQL["heads"], {"organisation_id": organisation_id}).fetchall()
    return [Chain(number, name or "", Head(records, bytes(head))) for number, name, records, head in rows]


def records(connection: Connection[Any], organisation_id: int | None = None) -> Iterator[Record]:
    """Go through all records, chain by chain, oldest first, with a page of them in memory."""
    with connection.cursor(name="audit_records", row_factory=dict_row) as cursor:
        cursor.itersize = _PAGE
        for row in cursor.execute(_SQL["records"], {"organisation_id": organisation_id}):
            yield record_of(row)


def verify(
    connection: Connection[Any],
    organisation_id: int | None = None,
    noted_heads: Collection[bytes] = (),
    on_record: Callable[[int], object] = lambda _count: None,
) -> Verdict:
    """Check every chain from its first record to its head, as of one moment.

    Args:
        connection: to the control database, at the beginning of a transaction.
        organisation_id: only this organisation's chain, if one is given.
        noted_heads: hashes that were heads once, each of which must still be in a chain.
        on_record: told how many records were checked, now and then.
    """
    connection.execute(_SQL["as_of_one_moment"])
    ends = {chain.organisation_id: chain.head for chain in heads(connection, organisation_id)}
    reached: dict[int, Head] = dict.fromkeys(ends, Head())
    breaks: dict[int, Break] = {}
    missing = set(noted_heads)
    count = 0
    for count, record in enumerate(records(connection, organisation_id), start=1):
        owner = record.organisation_id
        if count % _PAGE == 0:
            on_record(count)
        if owner in breaks:
            continue
        before = reached.get(owner, Head())
        fault = find_break(record, before)
        if fault is not None:
            breaks[owner] = Break(owner, before.records + 1, fault)
            continue
        reached[owner] = Head(record.number, record.hash)
        missing.discard(record.hash)
    for owner, head in reached.items():
        if owner not in breaks and ends.get(owner) != head:
            breaks[owner] = Break(owner, head.records + 1, Fault.TRUNCATED)
    return Verdict(count, len(reached), [breaks[owner] for owner in sorted(breaks)], sorted(missing))
