"""What beat starts: it does what cannot be taken back when a time is over, so it trusts no clock alone."""

from datetime import datetime
from typing import Protocol

from mailrecall.postgres import clocks
from mailrecall.settings import Settings
from mailrecall.wiring import Process


class Tick(Protocol):
    """What is done again and again; each run finds what is due."""

    def __call__(self, process: Process[Settings], /, *, now: datetime) -> None:
        """Do it, by a moment that has come."""


def tick(process: Process[Settings], do: Tick, *, now: datetime) -> None:
    """Do what is due by this process's clock and by the database's."""
    with process.databases.control() as connection:
        moment = clocks.earlier(connection, now)
    do(process, now=moment)
