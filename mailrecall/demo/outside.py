"""The world outside: a host that takes mail for everybody and keeps none, so that external recipients are real."""

import threading
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class _Taker:
    """Counts the recipients it took mail for."""

    def __init__(self) -> None:
        self.recipients = 0
        self._lock = threading.Lock()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        with self._lock:
            self.recipients += len(envelope.rcpt_tos)
        return "250 2.0.0 taken"


class Outside:
    """An SMTP server on a port of its own, in a thread of this process."""

    def __init__(self, port: int) -> None:
        """Prepare a server for a loopback port."""
        self._taker = _Taker()
        self._controller = Controller(self._taker, hostname="127.0.0.1", port=port, data_size_limit=64 * 1024 * 1024)

    @property
    def recipients(self) -> int:
        """How many recipients mail was taken for."""
        return self._taker.recipients

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()
