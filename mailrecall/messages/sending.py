"""R28: messages that go out a little later than they were accepted, in the caller's control transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from mailrecall.outbox import store as outbox
from mailrecall.outbox.work import Work
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "sending.sql")

LONGEST_DELAY = timedelta(seconds=60)


class AlreadySentError(Exception):
    """The message is on its way, or recalled: it cannot be taken back by its author any more. Roll back."""


def schedule(connection: Connection[Any], message_id: int, todo: Sequence[Work], *, due_at: datetime) -> None:
    """Write the work of a message about to be sent, all of it for a later moment."""
    work_ids = [outbox.add_one(connection, work, due_at=due_at) for work in todo]
    connection.execute(_SQL["schedule"], {"message_id": message_id, "due_at": due_at, "work_ids": work_ids})


def take_back(connection: Connection[Any], message_id: int, account_id: int, *, now: datetime) -> bool:
    """Undo a message's acceptance: for everyone, and for every table here, it was never sent.

    Returns:
        False when the account sent no such message.

    Raises:
        AlreadySentError: its moment has come, or it was recalled; the caller must roll back.
    """
    keys = {"message_id": message_id, "account_id": account_id}
    row = connection.execute(_SQL["lock"], keys).fetchone()
    if row is None:
        return False
    due_at, work_ids, expanded = row
    # a statement of its own, which sees a recall that the lock was waited for
    recalled = connection.execute(_SQL["is_recalled"], keys).fetchone()
    if due_at is None or now >= due_at or expanded or recalled is None or recalled[0]:
        raise AlreadySentError
    if connection.execute(_SQL["take_work_back"], {"work_ids": work_ids}).rowcount != len(work_ids):
        raise AlreadySentError
    connection.execute(_SQL["forget"], keys)
    return True
