"""One Celery task for each recipient: the worker beside the stack, and the clock around it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery

from benchmarks.errors import BenchmarkError
from benchmarks.place import Place, until
from mailrecall.embedded.deadlines import poll
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "per_recipient.sql")

RECIPIENTS = 1_000
"""Enough for a rate; a hundred thousand would take minutes, at the same rate."""

_PAUSE = 0.05
"""Seconds between two looks at all shards, of the two or three that it takes: the looks need the same processors."""

_DATABASE = 5
"""Of the broker: a queue of its own."""


@contextmanager
def running(place: Place) -> Iterator[Celery]:
    """Run a worker with two processes until the block ends; gives the application to call it by."""
    broker_url = place.session.settings.broker_url.rpartition("/")[0] + f"/{_DATABASE}"
    environment = {
        "BENCHMARK_SHARD_URLS": " ".join(place.session.settings.shard_urls),
        "BENCHMARK_BROKER_URL": broker_url,
    }
    command = ["-m", "celery", "-A", "benchmarks.per_recipient_worker", "worker", "--concurrency=2", "--loglevel=ERROR"]
    worker = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, *command, "--without-gossip", "--without-mingle"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    app = Celery("per-recipient", broker=broker_url, set_as_current=False)
    try:
        if not poll(lambda: bool(app.control.ping(timeout=1.0)), timeout=60):
            raise BenchmarkError("The worker of the naive way did not start.")
        yield app
    finally:
        worker.terminate()
        worker.wait(60)
        app.close()


def withdraw(place: Place, app: Celery, message_id: int, recall_id: int, size: int) -> float:
    """Take a message back from the first accounts, a task for each; returns the seconds until the last outcome."""
    begun = time.perf_counter()
    for mailbox_id in range(1, size + 1):
        app.send_task("withdraw_copy", (message_id, recall_id, mailbox_id))
    until(lambda: _recorded(place, recall_id) == size, pause=_PAUSE)
    return time.perf_counter() - begun


def _recorded(place: Place, recall_id: int) -> int:
    total = 0
    for shard in place.shards:
        with place.databases.shard(shard) as connection:
            row = connection.execute(_SQL["recorded"], {"recall_id": recall_id}).fetchone()
            total += row[0] if row else 0
    return total
