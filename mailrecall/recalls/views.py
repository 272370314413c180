"""What can be said of a recall at any moment, read from the control database alone: counts, never addresses (R23)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row, dict_row

from mailrecall.domain.copies import message_of
from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Result, State
from mailrecall.domain.undo import UndoState
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "recalls.sql")
_WATCHING = queries.load(__package__, "watching.sql")

NAMED_DIRECTLY = 0
"""The `via` of recipients that the envelope names; any other is the envelope position of the group that led to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallView:
    """A recall with what has happened so far."""

    id: int
    public_id: UUID
    message_id: int
    organisation_id: int
    requested_by: int
    as_administrator: bool
    reason: str
    policy: Policy
    requested_at: datetime
    deadline_at: datetime
    state: State
    result: Result | None
    settled_at: datetime | None
    subject: str
    recipients: int
    """All recipients known so far, external ones included; 0 before the plan."""
    tally: Tally
    """Outcomes so far, external recipients included."""
    by_via: Mapping[int, Tally]
    """The same, divided by the addressee that led to the recipient."""
    report_message_id: int | None
    author_report_message_id: int | None


@dataclass(frozen=True, slots=True)
class RecallMark:
    """What the author's Sent copy shows of its message's recall (R15)."""

    message_id: int
    public_id: UUID
    state: State
    result: Result | None
    undo: UndoState | None = None

    @property
    def stands(self) -> bool:
        """Whether asking again gives this recall (R12): until all of it was undone (R26)."""
        return self.undo is not UndoState.RESTORED


def find(connection: Connection[Any], public_id: UUID) -> RecallView | None:
    """Return a recall by the id that people see."""
    return _view(connection, "recall_by_public_id", {"public_id": public_id})


def get(connection: Connection[Any], recall_id: int) -> RecallView | None:
    """Return a recall by its number."""
    return _view(connection, "recall_by_id", {"recall_id": recall_id})


def of_message(connection: Connection[Any], message_id: int) -> RecallView | None:
    """Return the recall of a message; None when it was never recalled, or all of it was undone (R26)."""
    return _view(connection, "recall_of_message_id", {"message_id": message_id})


def of_messages(connection: Connection[Any], copy_ids: Sequence[int]) -> dict[int, RecallMark]:
    """Return the marks for a list of Sent copies, by message id (even); messages never recalled are left out."""
    ids = [message_of(copy_id) for copy_id in copy_ids]
    rows = connection.execute(_SQL["marks"], {"message_ids": ids}).fetchall()
    return {
        message_id: RecallMark(
            message_id,
            public_id,
            State(state),
            Result(result) if result else None,
            UndoState(undo) if undo else None,
        )
        for message_id, public_id, state, result, undo in rows
    }


@dataclass(frozen=True, slots=True)
class _Batch:
    recipients: int
    counts: dict[str, dict[str, int]] | None


def _view(connection: Connection[Any], query: str, parameters: Mapping[str, object]) -> RecallView | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL[query], parameters).fetchone()
    if row is None:
        return None
    with connection.cursor(row_factory=class_row(_Batch)) as batches:
        planned = batches.execute(_SQL["batch_counts"], {"recall_id": row["id"]}).fetchall()
    externals = connection.execute(_SQL["externals_by_via"], {"message_id": row["message_id"]}).fetchall()
    return _assembled(row, planned, externals)


def many(connection: Connection[Any], recall_ids: Collection[int]) -> dict[int, RecallView]:
    """Return recalls by their numbers, with as many statements for many as for one."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_WATCHING["recalls"], {"recall_ids": list(recall_ids)}).fetchall()
    planned: dict[int, list[_Batch]] = {}
    for recall_id, *batch in connection.execute(_WATCHING["batches"], {"recall_ids": list(recall_ids)}).fetchall():
        planned.setdefault(recall_id, []).append(_Batch(*batch))
    externals: dict[int, list[tuple[int, int]]] = {}
    message_ids = {"message_ids": [row["message_id"] for row in rows]}
    for message_id, via, count in connection.execute(_WATCHING["externals"], message_ids).fetchall():
        externals.setdefault(message_id, []).append((via, count))
    return {
        row["id"]: _assembled(row, planned.get(row["id"], ()), externals.get(row["message_id"], ())) for row in rows
    }


def _assembled(row: dict[str, Any], planned: Sequence[_Batch], externals: Sequence[tuple[int, int]]) -> RecallView:
    external = row.pop("external")
    by_via = add_up([batch.counts for batch in planned if batch.counts])
    for via, count in externals:
        by_via[via] = by_via.get(via, Tally({})) + Tally.of({Outcome.EXTERNAL: count})
    return RecallView(
        **{
            **row,
            "policy": Policy.from_mapping(row["policy"]),
            "state": State(row["state"]),
            "result": Result(row["result"]) if row["result"] else None,
        },
        recipients=external + sum(batch.recipients for batch in planned),
        tally=sum(by_via.values(), Tally({})),
        by_via=by_via,
    )


def add_up(counts: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[int, Tally]:
    """Add the counts of several batches, as their JSON columns hold them, by addressee."""
    by_via: dict[int, Tally] = {}
    for batch in counts:
        for via, outcomes in batch.items():
            by_via[int(via)] = by_via.get(int(via), Tally({})) + Tally.from_slugs(outcomes)
    return by_via
