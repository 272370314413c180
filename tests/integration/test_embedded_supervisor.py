"""Processes that die by themselves while others are started."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import circus
import psutil
import pytest
from tornado.ioloop import IOLoop

from mailrecall.embedded import records
from mailrecall.embedded.commands import Command
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.folder import DataFolder
from mailrecall.embedded.supervisor import Supervisor
from tests.servers import new_folder


@pytest.fixture
def folder() -> Iterator[DataFolder]:
    folder = DataFolder(new_folder("supervisor"))
    with folder.opened(1):
        yield folder
    shutil.rmtree(folder.path)


@pytest.fixture
def arbiters(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What circus makes to look after processes."""
    made: list[Any] = []
    get_arbiter = circus.get_arbiter

    def remember(*arguments: Any, **named: Any) -> Any:
        made.append(get_arbiter(*arguments, **named))
        return made[-1]

    monkeypatch.setattr(circus, "get_arbiter", remember)
    return made


async def number_of_a_dead_process_is_free(folder: DataFolder, arbiters: list[Any]) -> None:
    supervisor = Supervisor(folder)
    await supervisor.open()
    try:
        await supervisor.start(Command(name="sleeper", arguments=("sleep", "600")))
        (sleeper,) = records.read(folder)
        before = open_files()
        os.kill(sleeper.pid, signal.SIGKILL)
        # all this without the loop, which so does not see by itself that there is no more to read
        assert poll(lambda: psutil.Process(sleeper.pid).status() == psutil.STATUS_ZOMBIE, timeout=60)
        arbiters[0].reap_processes()
        (closed,) = before - open_files()
        # as for the output of a process that is started at this moment
        reading, writing = os.pipe()
        assert closed in (reading, writing)
        IOLoop.current().add_handler(closed, lambda *_: None, IOLoop.READ)
        IOLoop.current().remove_handler(closed)
        os.close(reading)
        os.close(writing)
    finally:
        await supervisor.close()


def open_files() -> set[int]:
    """The numbers of this process's open files."""
    # without the folder's own, which is closed again
    return {int(file.name) for file in Path("/proc/self/fd").iterdir() if file.exists()}


def test_a_process_that_died_leaves_nothing_that_keeps_others_from_starting(folder, arbiters) -> None:
    asyncio.run(number_of_a_dead_process_is_free(folder, arbiters))
