"""The state of the house as metrics: read from the databases and the broker at the moment somebody asks.

What these say is true whatever process died meanwhile, and the same from every exporter: any number may run.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

import psycopg
from kombu.exceptions import OperationalError as BrokerError
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg import Connection

from mailrecall import clock, logs
from mailrecall.broker import queue_lengths
from mailrecall.outbox.store import FIRST_DUE
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings

log = logs.get(__name__)

_SQL = queries.load(__package__, "state.sql", {"first_due": FIRST_DUE})

_RECALLS_SHOWN = 20
_AGES = ("60", "600", "3600")


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"mailrecall_{name}", text, labels=labels)


@dataclass(slots=True)
class _Control:
    """What the control database says."""

    up: GaugeMetricFamily = field(default_factory=lambda: _gauge("control_up", "Whether the control database answers."))
    work: GaugeMetricFamily = field(
        default_factory=lambda: _gauge(
            "outbox_work", "Unfinished work by task and state (due, published, later, retry, dead).", "task", "state"
        )
    )
    age: GaugeMetricFamily = field(
        default_factory=lambda: _gauge(
            "outbox_oldest_seconds", "Since when the oldest work of a state has been due.", "task", "state"
        )
    )
    lag: GaugeMetricFamily = field(
        default_factory=lambda: _gauge(
            "shard_lag_seconds", "Since when the oldest deposit or withdrawal has waited for a shard.", "shard"
        )
    )
    recalls: GaugeMetricFamily = field(
        default_factory=lambda: _gauge("recalls_unfinished", "Recalls that are not settled, by state.", "state")
    )
    older: GaugeMetricFamily = field(
        default_factory=lambda: _gauge(
            "recalls_unfinished_older", "Recalls not settled so many seconds after the request.", "seconds"
        )
    )
    oldest: GaugeMetricFamily = field(
        default_factory=lambda: _gauge("recall_oldest_seconds", "The age of the oldest recall that is not settled.")
    )
    overdue: GaugeMetricFamily = field(
        default_factory=lambda: _gauge("recalls_overdue", "Recalls that are not settled and past their deadline.")
    )
    recipients: GaugeMetricFamily = field(
        default_factory=lambda: _gauge(
            "recall_recipients", f"Recipients of the {_RECALLS_SHOWN} largest running recalls.", "recall_id"
        )
    )
    done: GaugeMetricFamily = field(
        default_factory=lambda: _gauge("recall_recipients_done", "How many of them have an outcome.", "recall_id")
    )
    held: GaugeMetricFamily = field(
        default_factory=lambda: _gauge("messages_held", "Messages that wait for a moderator.")
    )

    def read(self, connection: Connection[Any], *, lease: float, now: datetime) -> None:
        moment = {"now": now, "lease": lease}
        for task, state, count, age in connection.execute(_SQL["outbox"], moment):
            self.work.add_metric([task, state], count)
            if state in ("due", "published"):
                self.age.add_metric([task, state], max(0.0, age))
        for shard, lag in connection.execute(_SQL["shard_lag"], moment):
            self.lag.add_metric([str(shard)], lag)
        self._read_recalls(connection, now=now)
        for recall_id, recipients, done in connection.execute(_SQL["running_recalls"], {"limit": _RECALLS_SHOWN}):
            self.recipients.add_metric([str(recall_id)], recipients)
            self.done.add_metric([str(recall_id)], done)
        for (held,) in connection.execute(_SQL["held"]):
            self.held.add_metric([], held)

    def _read_recalls(self, connection: Connection[Any], *, now: datetime) -> None:
        overdue, oldest, older = 0, 0.0, [0, 0, 0]
        for state, count, late, age, *counts in connection.execute(_SQL["unfinished_recalls"], {"now": now}):
            self.recalls.add_metric([state], count)
            overdue += late
            oldest = max(oldest, age)
            older = [before + more for before, more in zip(older, counts, strict=True)]
        self.overdue.add_metric([], overdue)
        self.oldest.add_metric([], oldest)
        for seconds, count in zip(_AGES, older, strict=True):
            self.older.add_metric([seconds], count)

    def families(self) -> Iterator[Metric]:
        for name in self.__slots__:
            yield getattr(self, name)


class StateCollector(Collector):
    """Asks the control database, each shard and the broker, side by side: one that hangs hides none of the others."""

    def __init__(self, databases: Databases, settings: Settings) -> None:
        """Prepare a collector.

        Args:
            databases: with time-outs shorter than those of whoever scrapes.
            settings: where the broker is.
        """
        self._databases = databases
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """Read everything anew."""
        size = _gauge("database_bytes", "The size of a database on disk.", "database")
        up = _gauge("shard_up", "Whether a shard answers.", "shard")
        seconds = _gauge("shard_answer_seconds", "How long a shard took to answer.", "shard")
        broker = _gauge("broker_up", "Whether the broker answers.")
        waiting = _gauge("queue_messages", "Tasks that wait in a queue of the broker.", "queue")
        control = _Control()

        def ask_control() -> None:
            answered = self._asked("control", lambda: self._read_control(control, size))
            control.up.add_metric([], answered)

        def ask_shard(shard: int) -> None:
            began = monotonic()
            answered = self._asked(f"shard{shard}", lambda: self._read_shard(shard, size))
            up.add_metric([str(shard)], answered)
            if answered:
                seconds.add_metric([str(shard)], monotonic() - began)

        def ask_broker() -> None:
            broker.add_metric([], self._asked("broker", lambda: self._read_broker(waiting)))

        shards = self._databases.shards
        with ThreadPoolExecutor(2 + len(shards)) as threads:
            asked = [threads.submit(ask_control), threads.submit(ask_broker)]
            asked += [threads.submit(ask_shard, shard) for shard in shards]
        for one in asked:
            one.result()
        yield from (*control.families(), up, seconds, size, broker, waiting)

    def _read_control(self, control: _Control, size: GaugeMetricFamily) -> None:
        with self._databases.control() as connection:
            control.read(connection, lease=self._settings.outbox_lease, now=clock.now())
            self._read_size(connection, "control", size)

    def _read_shard(self, shard: int, size: GaugeMetricFamily) -> None:
        with self._databases.shard(shard) as connection:
            self._read_size(connection, f"shard{shard}", size)

    def _read_size(self, connection: Connection[Any], name: str, size: GaugeMetricFamily) -> None:
        for (octets,) in connection.execute(_SQL["size"]):
            size.add_metric([name], octets)

    def _read_broker(self, waiting: GaugeMetricFamily) -> None:
        for queue, length in queue_lengths(self._settings).items():
            waiting.add_metric([queue], length)

    def _asked(self, what: str, ask: Callable[[], None]) -> bool:
        try:
            ask()
        except (psycopg.Error, BrokerError, OSError) as error:
            log.warning("metrics.no_answer", server=what, failure=logs.kind_of(error))
            return False
        return True
