"""The relay: carries work from the outbox to the broker once it is committed (`python -m mailrecall.outbox.relay`).

Any number of relays may run side by side. A relay waits on the database's notification, not on a clock; the time-out
only bounds how late it sees work whose hour has come, or a notification lost with a broken connection.
"""

import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from threading import Event
from types import FrameType
from typing import Any

import psycopg
from celery import Celery
from kombu.exceptions import OperationalError as BrokerError

from mailrecall import clock, heartbeat, logs
from mailrecall.broker import celery_app
from mailrecall.outbox import store as outbox
from mailrecall.postgres.databases import connection_options
from mailrecall.settings import Settings, SettingsError, load

log = logs.get(__name__)

BATCH = 500
LONGEST_WAIT = 1.0
"""Seconds between two looks at the table when nothing is notified."""
RETRY_WAIT = 1.0
"""Seconds before the next try when the database or the broker does not answer."""


def publish(app: Celery, publications: Sequence[outbox.Publication]) -> None:
    """Send work to the broker.

    Raises:
        BrokerError: it does not answer.
    """
    with app.producer_or_acquire(None) as producer:
        for publication in publications:
            app.send_task(
                publication.task,
                kwargs={**publication.args, "work_id": publication.work_id},
                queue=publication.queue,
                producer=producer,
                ignore_result=True,
                retry=False,
            )


def publish_due(connection: psycopg.Connection[Any], app: Celery, *, now: datetime) -> int:
    """Publish what is due, in one transaction; if the broker fails, nothing is marked as published."""
    with connection.transaction():
        publications = outbox.take_due(connection, now=now, limit=BATCH)
        publish(app, publications)
    return len(publications)


class Relay:
    """The relay's loop, until it is told to stop."""

    def __init__(self, settings: Settings) -> None:
        """Prepare a relay for the control database and broker of the settings."""
        self._settings = settings
        self._app = celery_app("relay", settings)
        self._stopping = Event()

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask the loop to end; what is being published is finished first."""
        self._stopping.set()

    def run(self) -> None:
        """Relay until stopped; outlive every outage of the database and the broker."""
        while not self._stopping.is_set():
            try:
                self._relay_over_one_connection()
            except (psycopg.Error, BrokerError, OSError) as error:
                log.warning("relay.interrupted", failure=type(error).__name__)
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
    relay = Relay(settings)
    signal.signal(signal.SIGTERM, relay.stop)
    signal.signal(signal.SIGINT, relay.stop)
    relay.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
