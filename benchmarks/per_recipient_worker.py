"""One Celery task for each recipient, as one would first write it: `celery -A benchmarks.per_recipient_worker worker`.

It gets its addresses from the environment that `benchmarks.per_recipient` gives it.
"""

import os
from typing import Any

import psycopg
from celery import Celery
from celery.signals import worker_process_init

from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import decide
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "per_recipient.sql")

_URLS = os.environ.get("BENCHMARK_SHARD_URLS", "").split()
_connections: list[psycopg.Connection[Any]] = []

app = Celery("per-recipient", broker=os.environ.get("BENCHMARK_BROKER_URL"), set_as_current=False)
app.conf.update(task_acks_late=True, task_ignore_result=True, broker_connection_retry_on_startup=True)


@worker_process_init.connect(weak=False)
def connect(**_: object) -> None:
    """Open the connections that a worker's child keeps."""
    _connections[:] = [psycopg.connect(url) for url in _URLS]


@app.task(name="withdraw_copy")
def withdraw_copy(message_id: int, recall_id: int, mailbox_id: int) -> None:
    """Take one copy back, in a transaction of its own."""
    keys = {"message_id": message_id, "recall_id": recall_id, "mailbox_id": mailbox_id}
    connection = _connections[mailbox_id % len(_connections)]
    with connection.transaction():
        row = connection.execute(_SQL["lock"], keys).fetchone()
        outcome = decide(Fact(row[0]) if row else None)
        if row and not row[0]:
            connection.execute(_SQL["delete"], keys)
        connection.execute(_SQL["record"], {**keys, "outcome": outcome.value})
