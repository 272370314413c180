"""Keeps child processes running and ends them in order; circus does the work.

Circus is used as a library and starts empty: processes are added when what they need is ready, which its start order by
priority and delay cannot express. Its control socket stays inside this process: whoever could reach it could run
commands as this user.
"""

import asyncio
import logging
import shlex
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from typing import Any

import psutil
from tornado.ioloop import IOLoop

from mailrecall.embedded import records
from mailrecall.embedded.commands import Command
from mailrecall.embedded.errors import EmbeddedError
from mailrecall.embedded.folder import DataFolder
from mailrecall.embedded.records import Record

_LOG_SIZE = 10 * 2**20
_LOGS_KEPT = 3
_CHECK_DELAY = 0.5
"""Seconds between two looks at whether a process died."""
_MOST_STARTS = 3
"""A process that had to be started this often before it was ready will not become ready."""


class Supervisor:
    """The running processes of one stack. All methods belong to one event loop."""

    def __init__(self, folder: DataFolder) -> None:
        """Prepare; must be called inside the event loop."""
        _log_to(folder)
        with warnings.catch_warnings():
            # circus is written for older Pythons; what it is warned of is nothing that our users could change
            warnings.simplefilter("ignore", DeprecationWarning)
            from circus import get_arbiter  # noqa: PLC0415 - would set up the root logger when imported earlier
            from circus.exc import ConflictError  # noqa: PLC0415

            self._arbiter = get_arbiter(
                [],
                controller="inproc://mailrecall-control",
                pubsub_endpoint="inproc://mailrecall-events",
                multicast_endpoint="",
                loop=IOLoop.current(),
                check_delay=_CHECK_DELAY,
                proc_name="mailrecall",
            )
        self._conflict: type[Exception] = ConflictError
        self._folder = folder
        self._commands: dict[str, Command] = {}
        self._starts: Counter[str] = Counter()

    async def open(self) -> None:
        """Begin to supervise."""
        await self._arbiter.start()

    async def start(self, command: Command) -> None:
        """Start a process, and start it again whenever it ends."""
        self._commands[command.name] = command
        program, *arguments = command.launched()
        hooks: dict[str, tuple[Callable[..., bool], bool]] = {
            "after_spawn": (self._spawned, False),
            "before_reap": (_let_go_of_output, False),
        }

        async def add() -> Any:
            return self._arbiter.add_watcher(
                command.name,
                shlex.quote(program),
                args=arguments,
                env=dict(command.environment),
                copy_env=True,
                working_dir=str(self._folder.path),
                stop_signal=command.stop_signal,
                graceful_timeout=command.stop_timeout,
                stdout_stream={
                    "class": "FileStream",
                    "filename": str(self._folder.log_of(command.name)),
                    "max_bytes": _LOG_SIZE,
                    "backup_count": _LOGS_KEPT,
                },
                hooks=hooks,
            )

        watcher = await self._alone(add)
        await self._alone(watcher.start)

    def failing(self) -> None:
        """Raise when a process keeps ending.

        Raises:
            EmbeddedError: with the end of its log.
        """
        for name, starts in self._starts.items():
            if starts >= _MOST_STARTS:
                raise EmbeddedError(f"{name} keeps ending while it starts. {self.last_words(name)}")

    def last_words(self, name: str, lines: int = 15) -> str:
        """Return where a process's log is and how it ends."""
        file = self._folder.log_of(name)
        try:
            words = file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        except OSError:
            words = []
        return "\n".join([f"Its log {file} ends with:", *(f"  {line}" for line in words or ["(nothing)"])])

    async def stop(self, names: Iterable[str]) -> None:
        """End processes side by side, each with its own signal and time-out, and wait until they are gone."""
        chosen = [self._arbiter.get_watcher(name) for name in names if name in self._commands]
        await self._alone(lambda: self._arbiter.stop_watchers(watcher_iter_func=lambda reverse=True: chosen))  # noqa: ARG005
        for watcher in chosen:
            watcher.stdout_stream.close()
            records.remove(self._folder, watcher.name)
            self._commands.pop(watcher.name)

    async def close(self) -> None:
        """End whatever still runs, and supervise no more."""
        await self.stop(list(self._commands))
        await self._alone(self._arbiter.stop)
        # the arbiter closes its sockets in a callback of the loop
        while self._arbiter.running:  # noqa: ASYNC110 - circus has nothing to wait on
            await asyncio.sleep(0)

    def _spawned(self, *, watcher: Any, pid: int, **_: object) -> bool:
        self._starts[watcher.name] += 1
        with suppress(psutil.NoSuchProcess):
            command = self._commands[watcher.name]
            record = Record(
                name=command.name,
                pid=pid,
                created=psutil.Process(pid).create_time(),
                starts=self._starts[command.name],
                stop_signal=int(command.stop_signal),
                stop_timeout=command.stop_timeout,
            )
            records.write(self._folder, record)
        return True

    async def _alone(self, action: Callable[[], Awaitable[Any]]) -> Any:
        """Do something that circus does not do while it does something else, and says so by an error."""
        while True:
            try:
                return await action()
            except self._conflict:
                await asyncio.sleep(0.02)


def _let_go_of_output(*, watcher: Any, process_pid: int, **_: object) -> bool:
    """Stop reading a dead process's output before circus closes it.

    Circus does so only for processes that it ended itself. For others the number of the closed pipe would stay with the
    loop, and a process that is started at that moment and is given the number could not be started any more.
    """
    watcher.stream_redirector.remove_redirections(watcher.processes[process_pid])
    return True


def _log_to(folder: DataFolder) -> None:
    """Send what circus has to say to a file: the terminal is for the user."""
    handler = RotatingFileHandler(
        folder.log_of("supervisor"), maxBytes=_LOG_SIZE, backupCount=_LOGS_KEPT, encoding="utf-8"
    )
    handler.addFilter(_worth_telling)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


def _worth_telling(record: logging.LogRecord) -> bool:
    """Drop circus's complaint that it could not look after its processes while it was stopping some of them."""
    return not (record.exc_info and record.exc_info[0] and record.exc_info[0].__name__ == "ConflictError")
