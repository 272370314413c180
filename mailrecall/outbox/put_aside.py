"""Work that failed too often and waits for an operator: shown, tried again, or given up for good. Ids only (R23)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.postgres import queries

_SQL = queries.load(__package__, "outbox.sql")


@dataclass(frozen=True, slots=True)
class PutAside:
    """A piece of work that nobody does any more."""

    work_id: int
    task: str
    args: dict[str, int]
    failures: int
    failure: str
    """The kind of the last error."""
    due_at: datetime
    """When it would have been tried next: shortly after the last failure."""


class NotPutAsideError(LookupError):
    """Some of the work is not put aside: it is done, runs, or never was; nothing was changed."""

    def __init__(self, work_ids: Sequence[int]) -> None:
        super().__init__(f"Not put aside: {', '.join(map(str, work_ids))}. `mailrecall outbox list` shows what is.")


def find(connection: Connection[Any], task: str | None = None) -> list[PutAside]:
    """Return what was put aside, the oldest first; of one kind, or of all."""
    return [PutAside(*row) for row in connection.execute(_SQL["put_aside"], {"task": task})]


def retry(connection: Connection[Any], work_ids: Sequence[int], *, now: datetime) -> int:
    """Have work tried again at once, with all its tries before it; returns how much.

    Raises:
        NotPutAsideError: some of it is not put aside.
    """
    _lock(connection, work_ids)
    return connection.execute(_SQL["try_again"], {"work_ids": list(work_ids), "now": now}).rowcount


def drop(connection: Connection[Any], work_ids: Sequence[int]) -> int:
    """Give work up for good: whatever it was to do is never done, unless the reconciler finds it missing.

    Raises:
        NotPutAsideError: some of it is not put aside.
    """
    _lock(connection, work_ids)
    return connection.execute(_SQL["drop"], {"work_ids": list(work_ids)}).rowcount


def _lock(connection: Connection[Any], work_ids: Sequence[int]) -> None:
    locked = {work_id for (work_id,) in connection.execute(_SQL["lock_put_aside"], {"work_ids": list(work_ids)})}
    if missing := [work_id for work_id in work_ids if work_id not in locked]:
        raise NotPutAsideError(missing)
