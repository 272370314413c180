"""Ports: who wants which, whether they are free, and what to say if they are not."""

import secrets
import socket
from dataclasses import dataclass, fields

from mailrecall.embedded.errors import EmbeddedError

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The loopback ports of a stack."""

    gateway: int = 8080
    smtp: int = 2587
    lmtp: int = 2424
    imap: int = 2143
    pop3: int = 2110
    flower: int = 5555
    metrics: int = 9464
    postgres: int = 54329
    valkey: int = 63799

    @classmethod
    def names(cls) -> list[str]:
        """Return what each port is called: `--NAME-port` and `MAILRECALL_NAME_PORT` choose it."""
        return [field.name for field in fields(cls)]

    def check(self) -> None:
        """Make sure that all are free.

        Raises:
            EmbeddedError: some are not; the message names each, what wanted it, and how to choose another.
        """
        problems = []
        taken: dict[int, str] = {}
        for name in self.names():
            port: int = getattr(self, name)
            if port in taken:
                problems.append(f"Port {port} is given to both {TITLES[taken[port]]} and {TITLES[name]}.")
            elif (reason := _why_not(port)) is not None:
                problems.append(
                    f"Port {port} for {TITLES[name]} {reason}. Choose another with --{name}-port "
                    f"or MAILRECALL_{name.upper()}_PORT, or let --free-ports choose."
                )
            taken[port] = name
        if problems:
            raise EmbeddedError("\n".join(problems))


TITLES = {
    "gateway": "the gateway (HTTP)",
    "smtp": "SMTP submission",
    "lmtp": "LMTP",
    "imap": "IMAP",
    "pop3": "POP3",
    "flower": "Flower",
    "metrics": "metrics (Prometheus)",
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
}


# Below what systems take for outgoing connections (from 32768 on Linux, 49152 elsewhere): between the moment a port is
# found free and the moment its server listens, no client of another server can be given it.
_CHOICE = range(20_000, 32_768)


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody uses right now, all different."""
    found: list[int] = []
    for port in secrets.SystemRandom().sample(_CHOICE, len(_CHOICE)):
        if len(found) == count:
            return found
        if _why_not(port) is None:
            found.append(port)
    raise EmbeddedError(f"Fewer than {count} ports between {_CHOICE.start} and {_CHOICE.stop - 1} are free.")


def _why_not(port: int) -> str | None:
    with socket.socket() as listener:
        # what the servers do too: a connection that just ended does not occupy the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except PermissionError:
            return "may not be used by this user"
        except OSError:
            return "is already in use"
    return None
