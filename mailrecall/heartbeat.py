"""A sign of life for processes without a port: a file that is touched while the process does its round.

Its age is the process's health, which any supervisor can see without starting a program of ours:
`find FILE -newermt '-30 seconds'`.
"""

from pathlib import Path
from typing import Any

from celery.signals import after_task_publish, heartbeat_sent

from mailrecall.settings import Settings


def touch(settings: Settings) -> None:
    """Show that this process is alive, where the settings ask for it."""
    if settings.heartbeat_file:
        Path(settings.heartbeat_file).touch()


def follow_celery(settings: Settings) -> None:
    """Touch the file as often as Celery does its round in this process.

    A worker's main loop sends a heartbeat every two seconds while it is connected to the broker. Beat has none; that it
    published a tick shows as much.
    """
    if not settings.heartbeat_file:
        return

    def alive(*_args: Any, **_kwargs: Any) -> None:
        touch(settings)

    # a signal holds its receivers weakly unless told otherwise
    heartbeat_sent.connect(alive, weak=False)
    after_task_publish.connect(alive, weak=False)
