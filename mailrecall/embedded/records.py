"""What the supervisor notes of each process it starts: for `mailrecall status`, and for the start after a bad end."""

import json
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from mailrecall.embedded.folder import DataFolder, write_private

_SAME_START = 2.0
"""Seconds by which two readings of one process's start may differ when the machine's clock was set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One process, known by its id and the moment of its start: an id alone may have gone to another since."""

    name: str
    pid: int
    created: float
    starts: int
    """How often it was started by this supervisor."""
    stop_signal: int
    stop_timeout: float

    def process(self) -> psutil.Process | None:
        """Return the process if it still runs."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _SAME_START
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def family(self) -> list[psutil.Process]:
        """Return the process and all its descendants, itself first; empty if it is gone."""
        if (process := self.process()) is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return [process, *process.children(recursive=True)]
        return []


def write(folder: DataFolder, record: Record) -> None:
    """Note a process."""
    write_private(_file(folder, record.name), json.dumps(asdict(record)))


def remove(folder: DataFolder, name: str) -> None:
    """Forget a process that was ended."""
    _file(folder, name).unlink(missing_ok=True)


def read(folder: DataFolder) -> list[Record]:
    """Return what was noted, running or not."""
    records = []
    for file in sorted(folder.run.glob(f"*{_SUFFIX}")):
        with suppress(OSError, ValueError, TypeError):
            records.append(Record(**json.loads(file.read_text(encoding="utf-8"))))
    return records


def end_leftovers(folder: DataFolder) -> list[str]:
    """End what a supervisor that was killed has left running; only the holder of the folder's lock may call it.

    Returns:
        the names of the processes that were ended.
    """
    found = [(record, record.family()) for record in read(folder)]
    running = [(record, family) for record, family in found if family]
    for record, family in running:
        with suppress(psutil.NoSuchProcess):
            family[0].send_signal(record.stop_signal)
    for record, family in running:
        _gone, alive = psutil.wait_procs(family, timeout=record.stop_timeout)
        _kill(alive)
    for record, _family in found:
        remove(folder, record.name)
    return [record.name for record, _family in running]


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=5)


_SUFFIX = ".process"


def _file(folder: DataFolder, name: str) -> Path:
    return folder.run / f"{name}{_SUFFIX}"
