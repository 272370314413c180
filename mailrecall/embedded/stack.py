"""The whole stack in one folder: prepared, started in order, kept running, ended in the opposite order."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mailrecall import clock
from mailrecall.embedded import placement, postgres, readiness, records, state, unprivileged, valkey
from mailrecall.embedded.certificate import Pair, is_named, self_signed
from mailrecall.embedded.errors import EmbeddedError
from mailrecall.embedded.folder import DataFolder, Marker, write_private
from mailrecall.embedded.ports import Ports
from mailrecall.embedded.postgres import Postgres
from mailrecall.embedded.processes import Plan, full_environment
from mailrecall.embedded.supervisor import Supervisor
from mailrecall.embedded.valkey import Valkey
from mailrecall.postgres.preparation import prepare
from mailrecall.settings import Settings, load

_SERVER_TIMEOUT = 120.0
"""Seconds that a server may take to answer; PostgreSQL may have to recover first."""
_SERVICE_TIMEOUT = 120.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

Announce = Callable[[str], None]
"""Tells the user what happens, a line at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack that is ready to be started."""

    plan: Plan
    database: Postgres
    broker: Valkey
    settings: Settings

    @property
    def folder(self) -> DataFolder:
        """Its data folder, which this process holds."""
        return self.plan.folder


@contextmanager
def prepared(
    folder: DataFolder, ports: Ports, *, shards: int | None, workers: int, announce: Announce
) -> Iterator[Stack]:
    """Take the folder and make ready what must be there before anything starts.

    Raises:
        EmbeddedError: something stands in the way; the message says what and what to do.
        SettingsError: the environment has a variable with a value it cannot have.
    """
    with folder.opened(shards) as marker:
        if leftovers := records.end_leftovers(folder):
            announce(f"Ended what an earlier start had left running: {', '.join(leftovers)}")
        ports.check()
        plan = Plan(
            folder=folder, ports=ports, shards=marker.shards, workers=workers, certificate=_own_certificate(folder)
        )
        broker = Valkey(
            folder=folder.valkey, program=valkey.program(), port=ports.valkey, password=folder.secret("valkey_password")
        )
        broker.configure()
        _write_urls(plan, broker)
        settings = load(Settings, full_environment(plan))
        database = _place_postgres(folder, marker, ports.postgres, announce)
        if not database.data.exists():
            announce("Making a new PostgreSQL data folder …")
        database.initialise()
        database.forget_lost_server()
        shutil.rmtree(folder.metrics, ignore_errors=True)
        yield Stack(plan=plan, database=database, broker=broker, settings=settings)


async def run(stack: Stack, announce: Announce, ready: Callable[[Stack], None]) -> None:
    """Start everything, call `ready`, keep everything running until a signal says stop, end everything.

    Raises:
        EmbeddedError: something did not become ready; whatever had started was ended again.
    """
    # started by nohup, the stack outlives the terminal
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    supervisor = Supervisor(stack.folder)
    await supervisor.open()
    stopping = _stop_on_signals()
    if outlives:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    now = state.State(
        supervisor=state.own_record(), ready=False, ports=stack.plan.ports, environment=stack.plan.environment()
    )
    state.write(stack.folder, now)
    try:
        if await _unless(stopping, _start(stack, supervisor, announce)):
            state.write(stack.folder, replace(now, ready=True))
            ready(stack)
            await stopping.wait()
        announce("Stopping …")
    finally:
        await _stop(stack, supervisor)
        state.remove(stack.folder)
    announce("Stopped.")


async def _start(stack: Stack, supervisor: Supervisor, announce: Announce) -> None:
    announce(f"Starting PostgreSQL {postgres.MAJOR} and Valkey …")
    await supervisor.start(stack.database.command())
    await supervisor.start(stack.broker.command())
    await _until(supervisor, "postgres", stack.database.answers, _SERVER_TIMEOUT)
    await _until(supervisor, "valkey", stack.broker.answers, _SERVER_TIMEOUT)
    announce(f"Preparing the control database and {stack.plan.shards} shards …")
    await asyncio.to_thread(stack.database.create_databases, ["control", *_shard_names(stack.plan)])
    await asyncio.to_thread(prepare, stack.settings)
    services = stack.plan.services()
    announce(f"Starting {', '.join(command.name for command in services)} …")
    for command in services:
        await supervisor.start(command)
    for check in readiness.checks(stack.settings, stack.plan.ports):
        await _until(supervisor, check.process, check.holds, _SERVICE_TIMEOUT)


async def _stop(stack: Stack, supervisor: Supervisor) -> None:
    """Services first, so that they can finish and record what they are at; then what they need for it."""
    await supervisor.stop([command.name for command in stack.plan.services()])
    await supervisor.stop(["valkey"])
    await supervisor.stop(["postgres"])
    await supervisor.close()


async def _until(supervisor: Supervisor, process: str, holds: Callable[[], bool], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            # in a thread, because the loop must go on reading what the processes have to say
            while not await asyncio.to_thread(holds):
                supervisor.failing()
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise EmbeddedError(
            f"{process} did not become ready within {seconds:.0f} seconds. {supervisor.last_words(process)}"
        ) from None


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work unless a signal comes first; return whether it was done."""
    task, stop = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        stop.cancel()
        await task
        return True
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return False


def _stop_on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def _place_postgres(folder: DataFolder, marker: Marker, port: int, announce: Announce) -> Postgres:
    user = unprivileged.postgres_user()
    if marker.postgres_folder is None:
        place = placement.reachable_folder(folder.path, user, marker.identity)
        if place != folder.path:
            folder.write_marker(replace(marker, postgres_folder=str(place)))
    else:
        place = Path(marker.postgres_folder)
        if not place.is_dir():
            raise EmbeddedError(f"The data of {folder.path} lay in {place}, which is gone.")
    programs = placement.reachable_programs(postgres.programs(), user)
    if user is not None:
        announce(f"PostgreSQL does not run as root: it runs as user {user.name}, its data in {place}.")
    return Postgres(
        data=place / "postgres",
        programs=programs,
        port=port,
        superuser_password=folder.secret("superuser_password"),
        role_password=folder.secret("role_password"),
        user=user,
    )


def _own_certificate(folder: DataFolder) -> Pair | None:
    if is_named(os.environ):
        return None
    hostname = os.environ.get("MAILRECALL_HOSTNAME", "localhost")
    return self_signed(folder.tls, hostname, now=clock.now())


def _write_urls(plan: Plan, broker: Valkey) -> None:
    def url(database: str) -> str:
        password = plan.folder.secret("role_password")
        return postgres.database_url(database, port=plan.ports.postgres, password=password)

    write_private(plan.folder.secret_file("control_url"), url("control"))
    write_private(plan.folder.secret_file("shard_urls"), " ".join(map(url, _shard_names(plan))))
    write_private(plan.folder.secret_file("broker_url"), broker.url())


def _shard_names(plan: Plan) -> list[str]:
    return [f"shard{number}" for number in range(plan.shards)]
