"""Ports: who wants which, whether they are free, and what to say if they are not."""

import socket
from contextlib import ExitStack
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
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
}


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody uses right now, all different."""
    with ExitStack() as stack:
        ports = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind((HOST, 0))
            ports.append(listener.getsockname()[1])
        return ports


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
