"""What SMTP submission and LMTP share: aiosmtpd's protocol, stricter where a careless server loses or forges mail.

aiosmtpd gives one reply to a message that it refuses by itself, which leaves an LMTP client waiting for the others, and
keeps each line of a message as an object of its own. So DATA is read here. A message ends at CRLF.CRLF and at nothing
else: a bare CR or LF is part of a line like any other octet.
"""

import asyncio
import collections
import re
from typing import Any

from aiosmtpd.smtp import SMTP, syntax

from mailrecall import logs
from services.delivery.intake.settings import IntakeSettings

log = logs.get(__name__)

TEMPORARY = "451 4.3.0 The mail store does not answer; try again later"
_TOO_LARGE = "552 5.3.4 The message is larger than the {} octets allowed"
_LONG_LINE = "554 5.6.0 A line of the message is longer than {} octets (RFC 5321 section 4.5.3.1.6)"
_STOPPING = b"421 4.3.2 This host is stopping; try again later\r\n"

# RFC 5321 section 4.5.3.1.4 with the extensions served here; AUTH has an initial response (RFC 4954 section 4)
_LONGEST_COMMAND = 1000
_LINES_BETWEEN_RESETS = 1000
_WITHOUT_STATUS = re.compile(r"(?!220)(?P<code>(?P<class>[245])\d\d) (?!(?P=class)\.\d)")
_STATUS = {
    "500": "5.5.2",
    "501": "5.5.4",
    "502": "5.5.1",
    "503": "5.5.1",
    "504": "5.5.4",
    "552": "5.3.4",
    "553": "5.1.3",
    "555": "5.5.4",
}
_SIZE = re.compile(r"\sSIZE=(\d{1,20})(?=\s|$)", re.IGNORECASE)
_AUTH_PARAMETER = re.compile(r"\sAUTH=\S+", re.IGNORECASE)


class Connections:
    """The clients being served."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.open: set[IntakeProtocol] = set()
        self.stopping = False

    async def stop(self, grace: float) -> None:
        """Let messages on their way in arrive, tell everyone else to come back later, and close all connections."""
        self.stopping = True
        for connection in list(self.open):
            if not connection.receiving:
                connection.dismiss()
        try:
            async with asyncio.timeout(grace):
                await asyncio.gather(*(connection.ended.wait() for connection in list(self.open)))
        except TimeoutError:
            log.warning("intake.cut_off", connections=len(self.open))
            for connection in list(self.open):
                connection.dismiss()


class IntakeProtocol(SMTP):
    """One client's connection."""

    def __init__(self, handler: Any, settings: IntakeSettings, connections: Connections, **options: Any) -> None:
        # the reader's limit: a transparency dot and the line end come on top of the text
        self.line_length_limit = settings.max_line_length + 3
        # aiosmtpd keeps this on the class, where one client's EHLO changes the limits of all others
        self.command_size_limits = collections.defaultdict(lambda: _LONGEST_COMMAND)
        self.command_size_limit = _LONGEST_COMMAND
        self.receiving = False
        self.ended = asyncio.Event()
        self._most_octets = settings.max_message_size
        self._longest_line = settings.max_line_length
        self._connections = connections
        super().__init__(
            handler,
            data_size_limit=settings.max_message_size,
            enable_SMTPUTF8=True,
            hostname=settings.hostname,
            ident="Mail Recall",
            timeout=settings.idle_timeout,
            **options,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        self._connections.open.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Count it as ended."""
        self._connections.open.discard(self)
        self.ended.set()
        super().connection_lost(error)

    def dismiss(self) -> None:
        """Close the connection with a word of why."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.write(_STOPPING)
            self.transport.close()

    async def _handle_client(self) -> None:
        if len(self._connections.open) > self._connections.most or self._connections.stopping:
            log.warning("intake.too_many_connections", most=self._connections.most)
            await self.push("421 4.3.2 Too many connections; try again later")
            if self.transport is not None:
                self.transport.close()
            return
        await super()._handle_client()

    async def push(self, status: str | bytes) -> None:
        """Send a reply, with the enhanced status code that was promised (RFC 2034) where aiosmtpd gives none."""
        if isinstance(status, str):
            # some replies repeat what the client said, which need not be UTF-8
            status = _WITHOUT_STATUS.sub(_with_status, status, count=1).encode(errors="replace")
        await super().push(status)

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """Read an address; the parser of the standard library fails in ways of its own at some that are none."""
        try:
            address, rest = super()._getaddr(arg)
        except (AttributeError, IndexError, RecursionError):
            return None, None
        return address, rest

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name for it
        """Take a mechanism in lower case too (RFC 4954 section 3)."""
        mechanism, space, rest = (arg or "").partition(" ")
        await super().smtp_AUTH(mechanism.upper() + space + rest)

    @syntax("STARTTLS", when="tls_context")
    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name for it
        """Start encrypting, once; what came with the command in the clear is thrown away (RFC 3207 section 4.2)."""
        if self._tls_protocol is not None:
            await self.push("503 5.5.1 This connection is encrypted already")
            return
        await super().smtp_STARTTLS(arg)

    @syntax("MAIL FROM: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's name for it
        """Refuse a message that announces itself as too large; AUTH= says nothing to this host (RFC 4954 section 5)."""
        if arg is not None:
            size = _SIZE.search(arg)
            if size and int(size[1]) > self._most_octets:
                await self.push(_TOO_LARGE.format(self._most_octets))
                return
            arg = _AUTH_PARAMETER.sub("", arg)
        await super().smtp_MAIL(arg)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's name for it
        """Take a message: 250 only once it is stored."""
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        if self.envelope is None or not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 Name a recipient first (RCPT)")
            return
        if arg:
            await self.push("501 5.5.4 DATA takes no parameters")
            return
        self.receiving = True
        try:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            reply = await self._take_message()
            replies = self.replies(reply, len(self.envelope.rcpt_tos))
            self._set_post_data_state()  # type: ignore[no-untyped-call]
            await self.push("\r\n".join(replies))
        finally:
            self.receiving = False
        if self._connections.stopping:
            self.dismiss()

    def replies(self, reply: str, recipients: int) -> list[str]:  # noqa: ARG002 - LMTP's business
        """Return the lines that answer a message: one, whatever the number of its recipients."""
        return [reply]

    async def _take_message(self) -> str:
        content = await self._receive()
        if isinstance(content, str):
            return content
        self._reset_timeout()
        if self.envelope is None:
            raise AssertionError("a message without an envelope")
        self.envelope.content = self.envelope.original_content = content
        try:
            reply: str = await self._call_handler_hook("DATA")
        except Exception as error:  # noqa: BLE001 - whatever happened, nothing was acknowledged
            log.error("intake.failed", **logs.describe(error))
            return TEMPORARY
        return reply

    async def _receive(self) -> bytes | str:
        """Read a message up to CRLF.CRLF; return it, or the reply that refuses it once it has been read to its end."""
        content = bytearray()
        refusal = ""
        lines = line_length = 0
        at_start = True  # of a line; one that is longer than the reader's limit comes in pieces
        while True:
            piece, complete = await self._piece()
            if at_start and complete and piece == b".\r\n":
                return refusal or bytes(content)
            if at_start and piece.startswith(b"."):
                piece = piece[1:]
            line_length += len(piece) - 2 * complete
            if not refusal:
                content += piece
                refusal = self._refusal(line_length, len(content))
            if refusal:
                content = bytearray()
            at_start = complete
            if complete:
                line_length = 0
                lines += 1
                if lines % _LINES_BETWEEN_RESETS == 0:
                    self._reset_timeout()

    async def _piece(self) -> tuple[bytes, bool]:
        """Read a line with its CRLF, or a part of one that is too long; tell whether the line ends here."""
        try:
            return await self._reader.readuntil(b"\r\n"), True
        except asyncio.LimitOverrunError as error:
            return await self._reader.read(error.consumed), False

    def _refusal(self, line_length: int, octets: int) -> str:
        if line_length > self._longest_line:
            return _LONG_LINE.format(self._longest_line)
        if octets > self._most_octets:
            return _TOO_LARGE.format(self._most_octets)
        return ""


def _with_status(reply: re.Match[str]) -> str:
    status = _STATUS.get(reply["code"], f"{reply['class']}.0.0")
    return f"{reply['code']} {status} "
