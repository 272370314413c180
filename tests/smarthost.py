"""The world outside: a real SMTP server that takes what the stack hands out, and remembers it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailrecall.embedded.ports import HOST, free_ports

UNKNOWN = "unknown"
"""How addresses begin that it refuses for good."""


@dataclass
class Smarthost:
    """Everything that was handed out, in the order it came."""

    address: tuple[str, int]
    envelopes: list[Envelope] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Sequence[str]
    ) -> str:
        if address.startswith(UNKNOWN):
            return "550 5.1.1 No such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        self.envelopes.append(envelope)
        return "250 OK"


@contextmanager
def running() -> Iterator[Smarthost]:
    """Run it on a free port."""
    (port,) = free_ports(1)
    smarthost = Smarthost((HOST, port))
    controller = Controller(smarthost, hostname=HOST, port=port)
    controller.start()
    try:
        yield smarthost
    finally:
        controller.stop()
