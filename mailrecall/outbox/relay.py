"""The relay: carries work from the outbox to the broker once it is committed (`python -m mailrecall.outbox.relay`).

Any number of relays may run side by side. A relay waits on the database's notification, not on a clock; the time-out
only bounds how late it sees work whose hour has come, or a notification lost with a broken connection.
"""

import signal
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from threading import Event
from types import FrameType
from typing import Any

import psycopg
from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import OperationalError as BrokerError

from mailrecall import clock, heartbeat, logs
from mailrecall.broker import celery_app
from mailrecall.metrics import instruments, serving, sharing
from mailrecall.outbox import store as outbox
from mailrecall.outbox.work import TRACE_HEADER, VERSION_HEADER
from mailrecall.postgres.databases import connection_options
from mailrecall.settings import Settings, SettingsError, load

log = logs.get(__name__)

BATCH = 500
_SUBJECTS = ("recall_id", "message_id")
LONGEST_WAIT = 1.0
"""Seconds between two looks at the table when nothing is notified."""
CONFIRM_TIMEOUT = 15.0
"""Seconds that RabbitMQ may take to say that it has a message; it says nothing while it is short of memory or disk."""
RETRY_WAIT = 1.0
"""Seconds before the next try when the database or the broker does not answer."""


def headers(publication: outbox.Publication) -> dict[str, str | int]:
    """Return what goes beside a task's arguments: the version of their shape, and the trace that they belong to."""
    carried: dict[str, str | int] = {VERSION_HEADER: publication.version}
    return {**carried, TRACE_HEADER: publication.trace} if publication.trace else carried


def arguments(publication: outbox.Publication) -> dict[str, int]:
    """Return a task's arguments, what it is about first: Flower shows the beginning."""
    subjects = {name: publication.args[name] for name in _SUBJECTS if name in publication.args}
    return {**subjects, **publication.args, "work_id": publication.work_id}


def publish(app: Celery, publications: Sequence[outbox.Publication]) -> None:
    """Send work to the broker.

    Raises:
        BrokerError: it does not answer.
    """
    with app.producer_or_acquire(None) as producer:
        try:
            for publication in publications:
                app.send_task(
                    publication.task,
                    kwargs=arguments(publication),
                    queue=publication.queue,
                    headers=headers(publication),
                    producer=producer,
                    confirm_timeout=CONFIRM_TIMEOUT,
                    ignore_result=True,
                    retry=False,
                )
        except Exception:
            # an answer that comes late must not be taken for that to the next message
            producer.connection.collect()
            raise


def publish_due(connection: psycopg.Connection[Any], app: Celery, *, now: datetime) -> int:
    """Publish what is due, in one transaction; if the broker fails, nothing is marked as published."""
    with connection.transaction():
        publications = outbox.take_due(connection, now=now, limit=BATCH)
        publish(app, publications)
    for task, count in Counter(publication.task for publication in publications).items():
        instruments.work_published(task, count)
    return len(publications)


class Relay:
    """The relay's loop, until it is told to stop."""

    def __init__(self, settings: Settings) -> None:
        """Prepare a relay for the control database and broker of the settings."""
        self._settings = settings
        self._app = celery_app("relay", settings)
        self._stopping = Event()
        self._linked = False

    def linked(self) -> bool:
        """Tell whether the latest round reached the database and the broker."""
        return self._linked

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask the loop to end; what is being published is finished first."""
        self._stopping.set()

    def run(self) -> None:
        """Relay until stopped; outlive every outage of the database and the broker."""
        while not self._stopping.is_set():
            try:
                self._relay_over_one_connection()
            except (psycopg.Error, BrokerError, AMQPError, OSError) as error:
                log.warning("relay.interrupted", failure=type(error).__name__)
                self._linked = False
                # it is alive, and connects again by itself
                heartbeat.touch(self._settings)
                self._stopping.wait(RETRY_WAIT)

    def _relay_over_one_connection(self) -> None:
        options = connection_options(self._settings, "relay")
        with psycopg.connect(self._settings.control_url, autocommit=True, **options) as connection:
            connection.execute("LISTEN outbox")
            log.info("relay.connected")
            while not self._stopping.is_set():
                while (
                    published := publish_due(connection, self._app, now=clock.now())
                ) and not self._stopping.is_set():
                    log.debug("relay.published", count=published)
                self._linked = True
                heartbeat.touch(self._settings)
                for _ in connection.notifies(timeout=LONGEST_WAIT, stop_after=1):
                    pass


def main() -> int:
    """Run a relay until SIGTERM or SIGINT."""
    try:
        settings = load(Settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logs.configure(settings)
    sharing.begin(settings)
    relay = Relay(settings)
    signal.signal(signal.SIGTERM, relay.stop)
    signal.signal(signal.SIGINT, relay.stop)
    serving.start(settings, linked=relay.linked)
    relay.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
