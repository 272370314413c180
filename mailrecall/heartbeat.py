"""A sign of life for processes without a port: each round that a process does is noted.

A round is one whether or not it came to something: a process that tries in vain to reach a server is alive, and
starting it again would mend nothing.

Where the settings name a file it is touched, and its age is the process's health, which any supervisor can see without
starting a program of ours: `find FILE -newermt '-30 seconds'`. Where they name a port for metrics, `/healthz` says it.
"""

from pathlib import Path
from time import monotonic
from typing import Any

from celery.signals import before_task_publish, heartbeat_sent

from mailrecall.settings import Settings

ROUND = 2.0
"""Seconds between two rounds of a process that has nothing else to count them by."""

_rounds: list[float] = []
"""When the latest round was, by the monotonic clock; empty before the first."""

_linked: list[float] = []
"""When the latest round of a worker was that is connected to the broker; empty before the first."""


def touch(settings: Settings) -> None:
    """Show that this process is alive."""
    _rounds[:] = [monotonic()]
    if settings.heartbeat_file:
        Path(settings.heartbeat_file).touch()


def age() -> float | None:
    """Return how many seconds ago the latest round was; None before the first."""
    return monotonic() - _rounds[0] if _rounds else None


def linked(within: float) -> bool:
    """Tell whether a worker has been connected to the broker in the last seconds."""
    return bool(_linked) and monotonic() - _linked[0] < within


def follow_celery(settings: Settings) -> None:
    """Note the rounds that Celery does in this process.

    A worker's main loop sends a heartbeat every two seconds while it is connected to the broker; whoever sets about
    publishing is alive, too. Beat's ticks, and the tries to reach a broker that is away, are noted by `broker`.
    """
    if not (settings.heartbeat_file or settings.metrics_bind):
        return

    def alive(*_args: Any, **_kwargs: Any) -> None:
        touch(settings)

    def alive_and_linked(*_args: Any, **_kwargs: Any) -> None:
        touch(settings)
        _linked[:] = [monotonic()]

    # a signal holds its receivers weakly unless told otherwise
    heartbeat_sent.connect(alive_and_linked, weak=False)
    before_task_publish.connect(alive, weak=False)
