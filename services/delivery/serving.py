"""How the protocols that asyncio serves start and end, and where they listen."""

import asyncio
import ssl
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from mailrecall import heartbeat, tls
from mailrecall.metrics import serving as health
from mailrecall.settings import PREFIX, S, SettingsError
from mailrecall.wiring import Process, bootstrap


def host_and_port(bind: str) -> tuple[str, int]:
    """Return where a setting says to listen."""
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port)


def run(
    kind: type[S],
    application: str,
    serve: Callable[[Process[S], ssl.SSLContext | None], Coroutine[Any, Any, None]],
    *,
    binds: tuple[str, ...],
) -> int:
    """Serve a protocol until the process is told to stop.

    Args:
        kind: the settings.
        application: the process's name.
        serve: what serves; its OSError says that an address or port cannot be had.
        binds: the settings that say where.

    Returns:
        the exit code.
    """
    try:
        process = bootstrap(kind, application)
        tls_context = tls.server_context(process.settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        health.start(process.settings)
        asyncio.run(_with_pulse(process, serve(process, tls_context)))
    except OSError as error:
        variables = " and ".join(PREFIX + name.upper() for name in (*binds, "metrics_bind"))
        sys.stderr.write(f"{application}: cannot listen: {error}. Set {variables}.\n")
        return 1
    finally:
        process.databases.close()
    return 0


async def _with_pulse(process: Process[S], served: Coroutine[Any, Any, None]) -> None:
    """Serve, and show that the loop turns: one that hangs serves nobody, though its port may still answer."""

    async def pulse() -> None:
        while True:
            heartbeat.touch(process.settings)
            await asyncio.sleep(heartbeat.ROUND)

    beating = asyncio.create_task(pulse())
    try:
        await served
    finally:
        beating.cancel()
