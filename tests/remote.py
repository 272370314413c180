"""A worker that reaches its databases by wires, which are cut at a COMMIT of its."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from mailrecall import clock
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import dispatch
from tests.severing import Cut, Wire, wire

SHARD = 0
"""The shard at the other end of the wire."""


class Remote:
    """A worker that reaches the control database and one shard by wires."""

    def __init__(self, settings: Settings, control: Wire, shard: Wire) -> None:
        urls = (shard.url, *settings.shard_urls[1:])
        self.settings = settings.model_copy(update={"batch_size": 3, "shard_urls": urls, "control_url": control.url})
        self.wires = {"control": control, "shard": shard}
        self.process = Process(self.settings, Databases(self.settings, "remote"))

    def run(self, task: Task, work: tuple[int, dict[str, int]], place: str, cut: Cut, *, let_pass: int) -> None:
        """Run the work, and have a wire cut in the middle of it."""
        laid = self.wires[place]
        laid.was_cut.clear()
        laid.arm(cut, let_pass=let_pass)
        with pytest.raises(psycopg.OperationalError):
            dispatch.USE_CASES[task](self.process, work_id=work[0], now=clock.now(), **work[1])
        assert laid.was_cut.is_set()

    def cut_at_each(self, place: str, cut: Cut, do: Callable[[int], object]) -> int:
        """Do something again and again, each time with a wire cut one COMMIT later, until it gets by with fewer.

        Args:
            place: which wire.
            cut: before or after the COMMIT is carried out.
            do: told how many times it was done before; whether it fails is up to it.

        Returns:
            how many COMMITs were cut.
        """
        laid = self.wires[place]
        for number in range(100):
            laid.was_cut.clear()
            laid.arm(cut, let_pass=number)
            try:
                do(number)
            except (psycopg.OperationalError, PoolTimeout):
                assert laid.was_cut.is_set()
            finally:
                laid.disarm()
            if not laid.was_cut.is_set():
                return number
        raise AssertionError("there is no end of COMMITs")


@contextmanager
def remote_worker(settings: Settings) -> Iterator[Remote]:
    """Lay the wires of a worker."""
    with wire(settings.control_url) as control, wire(settings.shard_urls[SHARD]) as shard:
        remote = Remote(settings, control, shard)
        yield remote
        remote.process.databases.close()
