"""POP3: `python -m services.delivery.pop3` serves inboxes to mail programs that fetch their mail."""

import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall
from twisted.logger import LogEvent, LogLevel, globalLogBeginner

from mailrecall import heartbeat, logs, tls
from mailrecall.mailstore.exclusive import MailboxLocks
from mailrecall.metrics import serving
from mailrecall.settings import SettingsError
from mailrecall.wiring import Process, bootstrap
from services.delivery.pop3.desk import Desk
from services.delivery.pop3.factory import Encryption, Pop3Factory
from services.delivery.pop3.settings import Pop3Settings

log = logs.get(__name__)

# the module is the reactor, which no type checker can know
reactor: Any = _reactor


def serve(process: Process[Pop3Settings], tls_options: Encryption | None) -> None:
    """Serve until SIGTERM or SIGINT; then let what is on its way out arrive.

    Raises:
        CannotListenError: the address or port cannot be had.
    """
    settings = process.settings
    locks = MailboxLocks(settings, "pop3-locks")
    desk = Desk(process.databases, locks, password_guesses=settings.password_guesses)
    factory = Pop3Factory(desk, settings, reactor, tls_options)
    host, _, port = settings.pop3_bind.rpartition(":")
    try:
        listener = reactor.listenTCP(int(port), factory, interface=host.strip("[]"))

        def stop() -> Any:
            log.info("pop3.stopping", connections=len(factory.connections))
            listener.stopListening()
            return factory.stop()

        reactor.addSystemEventTrigger("before", "shutdown", stop)
        log.info("pop3.listening", pop3=settings.pop3_bind)
        # one that hangs serves nobody, though its port may still answer
        LoopingCall(heartbeat.touch, settings).start(heartbeat.ROUND)
        reactor.run()
        log.info("pop3.stopped")
    finally:
        locks.close()


def _note(event: LogEvent) -> None:
    """Log Twisted's own errors without their texts, which may quote what clients send (R23)."""
    if event.get("log_level") in (LogLevel.error, LogLevel.critical):
        failure = event.get("log_failure")
        log.error("pop3.failed", failure=failure.type.__name__ if failure else "unknown")


def main() -> int:
    """Run the server until it is told to stop."""
    try:
        process = bootstrap(Pop3Settings, "pop3")
        settings = process.settings
        # made by the standard library first, which says what is wrong with the files
        usable = tls.server_context(settings) is not None
        tls_options = Encryption(Path(settings.tls_certificate), Path(settings.tls_key)) if usable else None
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    globalLogBeginner.beginLoggingTo([_note], redirectStandardIO=False, discardBuffer=True)  # type: ignore[list-item]
    try:
        serving.start(settings)
        serve(process, tls_options)
    except CannotListenError as error:
        sys.stderr.write(f"POP3 cannot listen: {error.socketError}. Set MAILRECALL_POP3_BIND.\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"POP3 cannot listen: {error}. Set MAILRECALL_METRICS_BIND.\n")
        return 1
    finally:
        process.databases.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
