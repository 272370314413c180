"""What somebody, or an organisation, has recalled, newest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from mailrecall.domain.copies import author_copy_id
from mailrecall.domain.recalls import Result, State
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "listing.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRecall:
    """A recall in a list: what it is, and what it came to; its counts are looked up for one at a time."""

    id: int
    public_id: UUID
    message_id: int
    requested_by: int
    subject: str
    reason: str
    as_administrator: bool
    requested_at: datetime
    state: State
    result: Result | None
    settled_at: datetime | None

    @property
    def author_copy_id(self) -> int:
        """The recalled message, as its author's Sent folder shows it."""
        return author_copy_id(self.message_id)


@dataclass(frozen=True, slots=True)
class RecallPage:
    """Part of the list; `next_cursor` leads to the next part, if there is one."""

    recalls: Sequence[ListedRecall]
    next_cursor: int | None


def requested_by(connection: Connection[Any], account_id: int, *, limit: int, before: int | None) -> RecallPage:
    """Return the recalls that an account asked for, newest first, `limit` of them from behind `before` on."""
    return _page(connection, "requested_by", {"account_id": account_id}, limit=limit, before=before)


def of_organisation(connection: Connection[Any], organisation_id: int, *, limit: int, before: int | None) -> RecallPage:
    """Return the recalls of an organisation's mail, newest first, `limit` of them from behind `before` on."""
    return _page(connection, "of_organisation", {"organisation_id": organisation_id}, limit=limit, before=before)


def _page(
    connection: Connection[Any], statement: str, whose: Mapping[str, object], *, limit: int, before: int | None
) -> RecallPage:
    # one more than was asked for tells whether there is a next page
    parameters = {**whose, "limit": limit + 1, "before": before}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL[statement], parameters).fetchall()
    found = [
        ListedRecall(
            **{**row, "state": State(row["state"]), "result": Result(row["result"]) if row["result"] else None}
        )
        for row in rows
    ]
    return RecallPage(found[:limit], found[limit - 1].id if len(found) > limit else None)
