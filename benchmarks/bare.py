"""The limit: the same rows by the best statements we know, straight on the shards, two connections at a time.

Same tables, same indexes, same durability; no request, no queue, no counts, nobody told.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

from psycopg import Connection

from benchmarks.dataset import CONTENT, Company
from benchmarks.place import Place
from mailrecall import clock
from mailrecall.domain.outcomes import BLOCKING_FACTS, Outcome, outcome_case_sql
from mailrecall.mailstore.deposit import ListedMessage, store
from mailrecall.messages.ids import unused_ids
from mailrecall.postgres import queries
from mailrecall.settings import Settings

_SQL = queries.load(
    __package__,
    "bare.sql",
    {
        "BLOCKING": str(BLOCKING_FACTS.value),
        "RECALLED": str(Outcome.RECALLED.value),
        "OUTCOME_CASE": outcome_case_sql("facts"),
    },
)

CONNECTIONS = 2
FORMS: dict[str, int | None] = {
    "ranges": 5_000,
    "product_ranges": Settings.model_fields["batch_size"].default,
    "one_a_shard": None,
}
"""Mailboxes a transaction at most, by the name of the form; None: one transaction a shard."""

Job = Callable[[Connection[Any]], None]


def ranges(members: range, most: int | None) -> Iterator[range]:
    """Cut a shard's members into as few and as equal ranges as can be, as the product does; None: into one."""
    if members:
        count = -(-len(members) // (most or len(members)))
        bounds = [-(-number * len(members) // count) for number in range(count + 1)]
        yield from (members[begin:end] for begin, end in pairwise(bounds))


def deliver(place: Place, company: Company, size: int, *, range_size: int | None) -> tuple[int, float]:
    """COPY a message's rows for a whole group into the shards.

    Args:
        place: where.
        company: whose.
        size: the group it goes to.
        range_size: mailboxes a transaction at most; None: one transaction a shard.

    Returns:
        the message's id, and the seconds it took; the rows' text was ready before.
    """
    with place.databases.control() as connection:
        (message_id,) = unused_ids(connection, 1)
    listed = ListedMessage(
        accepted_at=clock.now(),
        size=len(CONTENT),
        from_header=company.account(1),
        to_header=company.group(size),
        subject="Bare",
        preview="",
        attachments=0,
    )
    jobs: list[tuple[int, Job]] = []
    for shard in place.shards:
        members = company.members_on(shard, len(place.shards), size)
        for batch, part in enumerate(ranges(members, range_size)):
            rows = "".join(f"{mailbox}\t1\t1\t{message_id}\t0\t0\n" for mailbox in part)
            jobs.append((shard, _deliver_range(message_id, listed, rows, first=batch == 0)))
    return message_id, _timed(place, jobs)


def _deliver_range(message_id: int, listed: ListedMessage, rows: str, *, first: bool) -> Job:
    def job(connection: Connection[Any]) -> None:
        with connection.transaction():
            if first:
                store(connection, message_id, message_id, listed, CONTENT)
            with connection.cursor() as cursor, cursor.copy(_SQL["copy_copies"]) as copy:
                copy.write(rows)

    return job


def withdraw(place: Place, company: Company, size: int, message_id: int, *, range_size: int | None) -> float:
    """Take a message back: delete what nobody touched, write everyone's outcome; returns the seconds it took.

    Args:
        place: where.
        company: whose.
        size: the group it went to.
        message_id: the message; its negative is the recall's number, which no real one has.
        range_size: mailboxes a transaction at most; None: one transaction a shard.
    """
    jobs: list[tuple[int, Job]] = []
    for shard in place.shards:
        members = company.members_on(shard, len(place.shards), size)
        for batch, part in enumerate(ranges(members, range_size)):
            jobs.append((shard, _withdraw_range(message_id, part[0], part[-1], batch)))
    return _timed(place, jobs)


def _withdraw_range(message_id: int, first: int, last: int, batch: int) -> Job:
    keys = {"message_id": message_id, "recall_id": -message_id, "first": first, "last": last, "batch": batch}

    def job(connection: Connection[Any]) -> None:
        with connection.transaction():
            connection.execute(_SQL["withdraw"], keys)
            connection.execute(_SQL["classify_rest"], keys)

    return job


def _timed(place: Place, jobs: Sequence[tuple[int, Job]]) -> float:
    """Do all jobs, each connection on a shard of its own as long as there are several; return the seconds."""
    queues = {shard: deque(job for on, job in jobs if on == shard) for shard in place.shards}
    shards = deque(place.shards)
    connections = {shard: [place.shard_connection(shard) for _ in range(CONNECTIONS)] for shard in place.shards}

    def work(worker: int) -> None:
        while shards:
            try:
                shard = shards.popleft()
            except IndexError:
                return
            connection = connections[shard][worker]
            while queues[shard]:
                queues[shard].popleft()(connection)

    begun = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as workers:
        list(workers.map(work, range(CONNECTIONS)))
    seconds = time.perf_counter() - begun
    for pair in connections.values():
        for connection in pair:
            connection.close()
    return seconds
