"""Intake: `python -m services.delivery.intake` serves SMTP submission and LMTP in one process."""

import asyncio
import logging
import signal
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

from mailrecall import logs
from mailrecall.wiring import Process
from services.delivery.intake.desk import Desk
from services.delivery.intake.lmtp import LmtpHandler, LmtpProtocol
from services.delivery.intake.protocol import Connections, IntakeProtocol
from services.delivery.intake.settings import IntakeSettings
from services.delivery.intake.submission import SubmissionHandler, SubmissionProtocol
from services.delivery.serving import host_and_port, run

log = logs.get(__name__)


async def serve(process: Process[IntakeSettings], tls_context: ssl.SSLContext | None) -> None:
    """Serve both protocols until SIGTERM or SIGINT; then let what is on its way in arrive.

    Args:
        process: settings and databases.
        tls_context: what submission encrypts with after STARTTLS; None: it offers none.

    Raises:
        OSError: an address or port cannot be had.
    """
    settings = process.settings
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(settings.pool_size, thread_name_prefix="intake"))
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    desk = Desk(process.databases, settings)
    submission, lmtp = SubmissionHandler(desk, settings), LmtpHandler(desk, settings)
    clients = Connections(settings.max_connections), Connections(settings.max_connections)

    def submission_protocol() -> IntakeProtocol:
        return SubmissionProtocol(submission, settings, clients[0], tls_context)

    def lmtp_protocol() -> IntakeProtocol:
        return LmtpProtocol(lmtp, settings, clients[1])

    servers = [
        await loop.create_server(submission_protocol, *host_and_port(settings.smtp_bind)),
        await loop.create_server(lmtp_protocol, *host_and_port(settings.lmtp_bind)),
    ]
    log.info("intake.listening", smtp=settings.smtp_bind, lmtp=settings.lmtp_bind)
    await stopping.wait()
    log.info("intake.stopping", connections=sum(len(connections.open) for connections in clients))
    for server in servers:
        server.close()
    await asyncio.gather(*(connections.stop(settings.stop_timeout) for connections in clients))
    log.info("intake.stopped")


def main() -> int:
    """Run intake until it is told to stop."""
    # aiosmtpd logs every command with the addresses in it (R23)
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    return run(IntakeSettings, "intake", serve, binds=("smtp_bind", "lmtp_bind"))


if __name__ == "__main__":
    sys.exit(main())
