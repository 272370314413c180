"""What requests for recalls are judged by, and what a repeated one sets off; shared by single requests and batches."""

from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Channel, Requester, Subject
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries
from mailrecall.recalls import all_or_nothing, lanes

_SQL = queries.load(__package__, "recalls.sql")


def subject_of(connection: Connection[Any], message_id: int, policy: Policy) -> Subject | None:
    """Return what a request for a message is judged by; None when there is no such message."""
    keys = {"message_id": message_id, "in_scope": list(range(policy.furthest_in_scope + 1))}
    row = connection.execute(_SQL["subject"], keys).fetchone()
    return Subject(row[1], row[2], Channel(row[3]), row[4], row[5]) if row else None


def recent_recalls(connection: Connection[Any], requester: Requester, *, now: datetime) -> int:
    """R10: return how many recalls an account asked for in an hour. Its other requests wait for this one's end."""
    connection.execute(_SQL["count_in_turn"], {"account_id": requester.account_id})
    keys = {"account_id": requester.account_id, "since": now - timedelta(hours=1)}
    row = connection.execute(_SQL["recent_recalls"], keys).fetchone()
    return row[0] if row else 0


def try_again(connection: Connection[Any], recall_id: int, *, now: datetime, deadline: timedelta) -> None:
    """R12: have what no shard answered for withdrawn again, once the recall has settled."""
    # the recall before its batches, as everybody else locks them
    connection.execute(_SQL["lock_recall"], {"recall_id": recall_id})
    all_or_nothing.try_again(connection, recall_id, deadline_at=now + deadline, now=now)
    rows = connection.execute(
        _SQL["reopen_unreachable"], {"recall_id": recall_id, "deadline_at": now + deadline}
    ).fetchall()
    small = lanes.is_small(connection, recall_id)
    outbox.add(connection, [work.withdraw(recall_id, batch, shard, small=small) for batch, shard in rows], due_at=now)
