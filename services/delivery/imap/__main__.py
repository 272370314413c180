"""IMAP: `python -m services.delivery.imap` serves mailboxes to mail programs (IMAP4rev1, RFC 3501)."""

import asyncio
import logging
import signal
import ssl
import sys

from mailrecall import logs
from mailrecall.wiring import Process
from services.delivery.imap.connection import LONGEST_LINE, Server
from services.delivery.imap.desk import Desk
from services.delivery.imap.login import Login
from services.delivery.imap.settings import ImapSettings
from services.delivery.imap.watch import Watch
from services.delivery.serving import host_and_port, run

log = logs.get(__name__)


async def serve(process: Process[ImapSettings], tls_context: ssl.SSLContext | None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        process: settings and databases.
        tls_context: what STARTTLS and the encrypted port encrypt with; None: neither is offered.

    Raises:
        OSError: an address or port cannot be had.
    """
    settings = process.settings
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    desk = Desk(process.databases, settings.pool_size, password_guesses=settings.password_guesses)
    watch = Watch(settings)
    login = Login(desk, watch)
    servers = [Server(login, settings, tls_context, encrypted=False)]
    listening = [await asyncio.start_server(servers[0], *host_and_port(settings.imap_bind), limit=LONGEST_LINE)]
    if settings.imaps_bind:
        servers.append(Server(login, settings, tls_context, encrypted=True))
        place = host_and_port(settings.imaps_bind)
        listening.append(await asyncio.start_server(servers[1], *place, limit=LONGEST_LINE, ssl=tls_context))
    watching = asyncio.create_task(watch.run())
    log.info("imap.listening", imap=settings.imap_bind, imaps=settings.imaps_bind)
    await stopping.wait()
    log.info("imap.stopping", connections=sum(server.clients for server in servers))
    for listener in listening:
        listener.close()
    for server in servers:
        await server.stop()
    watching.cancel()
    desk.close()
    log.info("imap.stopped")


def main() -> int:
    """Run the IMAP server until it is told to stop."""
    # pymap logs every line of a session at this level, passwords and addresses in it (R23)
    logging.getLogger("pymap").setLevel(logging.WARNING)
    return run(ImapSettings, "imap", serve, binds=("imap_bind", "imaps_bind"))


if __name__ == "__main__":
    sys.exit(main())
