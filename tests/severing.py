"""A wire between a process and its database that can be cut in the moment when a COMMIT is on its way."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

from psycopg import conninfo


class Cut(Enum):
    """When the wire is cut."""

    BEFORE = "before"
    """The COMMIT gets lost: the server rolls back."""
    AFTER = "after"
    """The COMMIT arrives and is carried out; its answer gets lost."""


@dataclass
class Wire:
    """Carries what both sides say, message for message, until it is cut."""

    url: str
    """Of the database, by way of the wire."""
    _cut: Cut | None = None
    _let_pass: int = 0
    _of: str = ""
    was_cut: threading.Event = field(default_factory=threading.Event)

    def arm(self, cut: Cut, *, let_pass: int = 0, of: str = "") -> None:
        """Cut the wire at a COMMIT; so many others pass first. `of` is part of how the client introduced itself."""
        self._cut, self._let_pass, self._of = cut, let_pass, of

    def disarm(self) -> None:
        """Let everything pass."""
        self._cut = None

    def cut_at(self, octets: bytes, introduction: bytes) -> Cut | None:
        """Tell whether to cut at what a client says now."""
        if self._cut is None or b"COMMIT" not in octets or self._of.encode() not in introduction:
            return None
        if self._let_pass:
            self._let_pass -= 1
            return None
        cut, self._cut = self._cut, None
        return cut


@contextmanager
def wire(url: str) -> Iterator[Wire]:
    """Lay a wire to a database; what is said in clear text can be listened to."""
    parts = conninfo.conninfo_to_dict(url)
    server = (str(parts["host"]), int(parts["port"] or 5432))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        laid = Wire(
            f"postgresql://{parts['user']}:{parts['password']}@127.0.0.1:{port}/{parts['dbname']}"
            "?sslmode=disable&gssencmode=disable"
        )
        threading.Thread(target=_accept, args=(listener, server, laid), daemon=True).start()
        yield laid


def _accept(listener: socket.socket, server: tuple[str, int], laid: Wire) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            try:
                pair = _Pair(client, socket.create_connection(server), laid)
            except OSError:
                # the server is away, and so it is at this end
                client.close()
                continue
            for work in (pair.carry, pair.bring_back):
                threading.Thread(target=work, daemon=True).start()


@dataclass
class _Pair:
    """One connection: the client's end and the server's."""

    client: socket.socket
    server: socket.socket
    laid: Wire
    severed: bool = False
    answered: threading.Event = field(default_factory=threading.Event)

    def carry(self) -> None:
        introduction = b""
        with self.client, self.server:
            with suppress(OSError):
                while octets := self.client.recv(65536):
                    introduction = introduction or octets
                    cut = self.laid.cut_at(octets, introduction)
                    self.severed = cut is not None
                    if cut is not Cut.BEFORE:
                        self.server.sendall(octets)
                    if cut is Cut.AFTER:
                        # with the answer it is certain that the server has committed
                        self.answered.wait(30)
                    if cut is not None:
                        self.laid.was_cut.set()
                        break
            self.hang_up()

    def bring_back(self) -> None:
        with suppress(OSError):
            while octets := self.server.recv(65536):
                if self.severed:
                    break
                self.client.sendall(octets)
        self.answered.set()
        if not self.severed:
            self.hang_up()

    def hang_up(self) -> None:
        """Tell both sides that it is over; to close alone would not wake who waits at the other end."""
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
