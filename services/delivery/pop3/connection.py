"""One client's POP3 connection, as far as every command shares it: reading, waiting, failing, leaving.

Twisted's server reads lines, keeps commands waiting while one is carried out, moves files to slow clients and speaks
TLS. Where that would not do it is done here: errors are told in constant words, what is appended to a sign-in waits
until that is decided, and nothing that was sent in the clear after STLS is carried out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import psycopg
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.protocol import connectionDone
from twisted.mail import pop3
from twisted.python.failure import Failure

from mailrecall import logs
from services.delivery.pop3.desk import DeniedError, EndedError, Opened, RefusedError, TooManyGuessesError
from services.delivery.pop3.maildrop import Maildrop, NoMessageError

if TYPE_CHECKING:
    from services.delivery.pop3.factory import Pop3Factory

log = logs.get(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_LONGEST_LINE = 2000
"""Octets of a command; RFC 2449 asks for 255, and credentials in base64 may need more."""
_ATTEMPTS_TO_SIGN_IN = 5
_SECONDS_TO_LEAVE = 5.0
STOPPING = "[SYS/TEMP] This host is stopping; try again later"
_UNAVAILABLE = "[SYS/TEMP] The mail store does not answer; try again later"


@dataclass(frozen=True, slots=True)
class _Command:
    """When a command may come, and with how many arguments."""

    signed_in: bool | None
    """None: before and after."""
    least: int = 0
    most: int = 0


_COMMANDS = {
    b"CAPA": _Command(None),
    b"QUIT": _Command(None),
    b"STLS": _Command(signed_in=False),
    b"USER": _Command(signed_in=False, least=1, most=1),
    b"PASS": _Command(signed_in=False, least=1, most=_LONGEST_LINE),
    b"AUTH": _Command(signed_in=False, most=2),
    b"STAT": _Command(signed_in=True),
    b"LIST": _Command(signed_in=True, most=1),
    b"UIDL": _Command(signed_in=True, most=1),
    b"RETR": _Command(signed_in=True, least=1, most=1),
    b"TOP": _Command(signed_in=True, least=2, most=2),
    b"DELE": _Command(signed_in=True, least=1, most=1),
    b"RSET": _Command(signed_in=True),
    b"NOOP": _Command(signed_in=True),
}


class Pop3Connection(pop3.POP3):
    """One client; the commands themselves are in `Pop3Protocol`."""

    MAX_LENGTH = _LONGEST_LINE
    # no time stamp in the greeting: APOP needs passwords that can be read
    magic = b"Mail Recall"
    AUTH_CMDS = [name for name, command in _COMMANDS.items() if not command.signed_in]  # noqa: RUF012 - as in Twisted
    factory: Any
    mbox: Maildrop | None = None
    blocked: list[tuple[bytes, tuple[bytes, ...]]] | None = None  # type: ignore[assignment]
    transport: Any

    def __init__(self, factory: "Pop3Factory") -> None:
        self.factory = factory
        settings = factory.settings
        # Twisted forgets its own number whenever it is told to wait without end
        self.timeOut = self._patience = min(settings.pop3_login_timeout, settings.pop3_timeout)
        self.encrypted = False
        self.ended: Deferred[None] = Deferred()
        """Fires when the connection is gone and its mailbox let go of."""
        self._plain_allowed = False
        self._origin = ""
        self._opened: Opened | None = None
        self._turn = DeferredLock()
        self._encrypting = self._sending = self._leaving = self._gone = False
        self._failures = self._sent = 0

    @property
    def busy(self) -> bool:
        """Whether something is being carried out for the client."""
        return self.blocked is not None

    def confirm(self, message: str = "") -> None:
        """Answer +OK."""
        self.transport.write(f"+OK {message}".rstrip().encode() + b"\r\n")

    def refuse(self, message: str) -> None:
        """Answer -ERR."""
        self.transport.write(f"-ERR {message}\r\n".encode())

    # --- beginning and end

    def connectionMade(self) -> None:
        """Greet the client."""
        self.factory.connections.add(self)
        peer = self.transport.getPeer()
        self._origin = str(getattr(peer, "host", ""))
        self._plain_allowed = self.factory.plain_allowed(peer)
        if self.factory.crowded:
            log.warning("pop3.too_many_connections", most=self.factory.settings.pop3_connections)
            self.leave("[SYS/TEMP] Too many connections; try again later")
        else:
            super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of the mailbox; what was marked stays (RFC 1939 section 3)."""
        self._gone = True
        super().connectionLost(reason)
        self._in_turn(self._close).addErrback(self._note).addBoth(lambda _: self.factory.ended(self))

    def leave(self, message: str = "") -> None:
        """Close the connection, with a word of why; a client that does not close its side is cut off."""
        if self._gone:
            return
        self._leaving = True
        if message and not self._sending:
            self.refuse(message)
        self.transport.loseConnection()
        self.factory.reactor.callLater(_SECONDS_TO_LEAVE, self.cut_off)

    def cut_off(self) -> None:
        """Close the connection at once."""
        self._leaving = True
        if not self._gone:
            self.transport.abortConnection()

    def timeoutConnection(self) -> None:
        """End a silent client's session; one that takes nothing any more is cut off."""
        if self._sending:
            self.cut_off()
        else:
            self.leave()

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002 - Twisted's signature
        """Refuse a line that no command needs."""
        self.leave("That line is too long")

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            self.factory.desk.close(opened)
            log.info("pop3.closed", account_id=opened.account.id, sent=self._sent)

    # --- commands, one after the other

    def lineReceived(self, line: bytes) -> None:
        """Take a line, unless it was appended to STLS in the clear: then it is thrown away (RFC 2595 section 4)."""
        if not self._encrypting:
            super().lineReceived(line)

    def state_COMMAND(self, line: bytes) -> None:
        """Take a command."""
        name, _, rest = line.partition(b" ")
        name = name.upper()
        self.processCommand(name, *(rest.split(b" ") if name == b"PASS" and rest else rest.split()))

    def processCommand(self, command: bytes, *args: bytes) -> None:
        """Carry out a command, or keep it until the one before it is done."""
        if self._encrypting or self._leaving or self._gone:
            return
        if self.blocked is not None:
            self.blocked.append((command, args))
            return
        if refusal := self._refusal(command, args):
            self.refuse(refusal)
            return
        try:
            super().processCommand(command, *args)
        except NoMessageError as error:
            self.refuse(str(error))

    def _refusal(self, command: bytes, args: Sequence[bytes]) -> str:
        known = _COMMANDS.get(command)
        if known is None:
            return "There is no such command"
        if known.signed_in is not None and known.signed_in != (self.mbox is not None):
            return "Sign in first" if known.signed_in else "You are signed in already"
        if not known.least <= len(args) <= known.most:
            return "That is not how many arguments this command has"
        return ""

    def _hold(self, work: "Deferred[Any]") -> None:
        """Keep what the client sends next until this work is done."""
        self.blocked = []
        self.setTimeout(None)
        # commands stay in the socket, so that nobody can fill the memory with them
        self.transport.pauseProducing()
        work.addErrback(self._failed).addCallback(self._go_on)

    def _go_on(self, _: object) -> None:
        if self._leaving or self._gone:
            return
        self.setTimeout(self._patience)
        self._unblock(None)
        if self.blocked is None and self.factory.stopping:
            self.leave(STOPPING)
        elif self.blocked is None:
            self.transport.resumeProducing()

    def _in_turn(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Deferred[T]":
        """Let the database work of this session be done in a thread, one thing after the other."""
        return self._turn.run(self.factory.in_thread, function, *args, **kwargs)

    # --- what goes wrong

    def _failed(self, failure: Failure) -> None:
        """Say what went wrong, as far as it is the client's business."""
        if self._gone:
            return
        error = failure.value
        if isinstance(error, RefusedError):
            self._explain(error)
            return
        if self._sending:
            # it closed its side, or was cut off, in the middle of a message
            log.info("pop3.interrupted", account_id=self._account_id)
            self.cut_off()
            return
        self._note(failure)
        self.refuse(_UNAVAILABLE)

    def _explain(self, error: RefusedError) -> None:
        if isinstance(error, DeniedError):
            self._failures += 1
            log.info("pop3.login_failed")
        if isinstance(error, TooManyGuessesError):
            self._failures += 1
            log.warning("pop3.guesses_throttled")
        self.refuse(error.reply)
        if isinstance(error, EndedError) or self._failures >= _ATTEMPTS_TO_SIGN_IN:
            self.leave()

    def _note(self, failure: Failure) -> None:
        event = "pop3.unavailable" if isinstance(failure.value, psycopg.Error) else "pop3.failed"
        log.error(event, failure=type(failure.value).__name__, account_id=self._account_id)

    @property
    def _account_id(self) -> int | None:
        return self._opened.account.id if self._opened else None
