"""pymap's connection, with the bounds that a server on the open network needs.

What is new here: no client makes the server hold more than one message or wait for ever; an answer is written a message
at a time, not gathered first; nothing that came in before TLS is taken for encrypted; and passwords pass in clear text
only from where the settings allow it.
"""

import asyncio
import re
import sys
from argparse import Namespace
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from ssl import SSLContext
from typing import Any, TypeVar

from proxyprotocol.sock import SocketInfoLocal
from pymap.config import BackendCapability, IMAPConfig
from pymap.context import connection_exit
from pymap.imap import IMAPConnection
from pymap.imap.state import ConnectionState
from pymap.interfaces.login import LoginInterface
from pymap.parsing.command import Command
from pymap.parsing.commands import InvalidCommand
from pymap.parsing.response import CommandResponse, Response, ResponseBye, ResponseCode, ResponseNo, ResponseOk
from pysasl import SASLAuth
from pysasl.creds.server import ServerCredentials
from pysasl.exception import AuthenticationError

from mailrecall import logs
from services.delivery import plain_login
from services.delivery.imap import names
from services.delivery.imap.commands import CharsetError, Commands
from services.delivery.imap.desk import UnavailableError
from services.delivery.imap.settings import ImapSettings

log = logs.get(__name__)

names.read_names_with_this()

LONGEST_LINE = 256 * 1024
"""Octets of a command without its literals; clients name thousands of messages in one line."""
_LONGEST_LITERAL_BEFORE_LOGIN = 4096
T = TypeVar("T")

_LITERAL_AT_END = re.compile(rb"\{(\d+)(\+?)\}\r?\n$")


class DismissedError(Exception):
    """The client does what cannot go on; it is told so, and the connection closed."""


class Config(IMAPConfig):
    """What pymap is told."""

    def __init__(self, settings: ImapSettings, ssl_context: SSLContext | None, *, offers_tls: bool) -> None:
        super().__init__(
            Namespace(passlib_cfg=None, proxy_protocol=None),
            host=None,
            port=0,
            ssl_context=ssl_context,
            tls_enabled=offers_tls and ssl_context is not None,
            reject_dnsbl=False,
            max_append_len=settings.max_message_size,
        )
        self._hostname = settings.hostname
        # pysasl looks through all installed packages for mechanisms, which takes longer than a short session
        self._mechanisms = SASLAuth.defaults()
        self._commands = Commands()

    @property
    def commands(self) -> Commands:
        """How commands are read, the same for all connections."""
        return self._commands

    @property
    def backend_capability(self) -> BackendCapability:
        """IDLE; the attributes of RFC 6154 in LIST."""
        return BackendCapability(idle=True, object_id=False, multi_append=False, custom=[b"SPECIAL-USE"])

    @property
    def tls_auth(self) -> SASLAuth:
        """The ways to sign in, the same for all connections."""
        return self._mechanisms

    @property
    def greeting(self) -> bytes:
        """The first line."""
        return b"Mail Recall at " + self._hostname.encode("idna")

    @property
    def id_response(self) -> Mapping[bytes, bytes]:
        """Who serves."""
        return {b"name": b"Mail Recall"}


class State(ConnectionState):
    """Where a connection stands. Passwords are asked for only where they are safe, or the settings say so."""

    def __init__(self, login: LoginInterface, config: Config, *, may_sign_in: bool) -> None:
        super().__init__(login, config)
        self.auth = config.tls_auth if may_sign_in else SASLAuth([])

    async def do_greeting(self) -> CommandResponse:
        """Greet."""
        return ResponseOk(b"*", self.config.greeting, self.capability)

    async def do_command(self, cmd: Command) -> CommandResponse:
        """Carry out a command."""
        if isinstance(cmd, InvalidCommand) and isinstance(cmd.parse_exc, CharsetError):
            return ResponseNo(cmd.tag, b"Search in UTF-8 or US-ASCII.", ResponseCode.of(b"BADCHARSET"))
        return await super().do_command(cmd)

    @property
    def signed_in(self) -> bool:
        """Whether somebody is."""
        return self._session is not None


class Connection(IMAPConnection):
    """One client's connection."""

    def __init__(
        self, config: Config, state: State, reader: StreamReader, writer: StreamWriter, settings: ImapSettings
    ) -> None:
        super().__init__(config.commands, config, reader, writer, SocketInfoLocal(writer))
        self._state = state
        self._timeout = settings.imap_timeout
        self._timeout_before_login = min(settings.imap_login_timeout, settings.imap_timeout)

    async def readline(self) -> memoryview:
        """Read a command up to where it waits for a literal, or to its end."""
        buffer = bytearray()
        while True:
            line = await self._patiently(self.reader.readuntil(b"\n"))
            buffer += line
            literal = _LITERAL_AT_END.search(line)
            if literal is None:
                return memoryview(buffer)
            self._admit(len(buffer) + int(literal[1]))
            if not literal[2]:
                return memoryview(buffer)
            buffer += await self._patiently(self.reader.readexactly(int(literal[1])))

    async def read_continuation(self, literal_length: int) -> memoryview:
        """Read a literal that was waited for, and the rest of its line."""
        literal = await self._patiently(self.reader.readexactly(literal_length))
        return memoryview(literal + bytes(await self.readline()))

    async def authenticate(self, state: ConnectionState, mech_name: bytes) -> ServerCredentials | None:
        """Exchange what a mechanism needs.

        Raises:
            AuthenticationError: it was cancelled, or what came is none of the mechanism's.
        """
        try:
            return await super().authenticate(state, mech_name)
        except UnicodeDecodeError:
            raise AuthenticationError("The credentials are not UTF-8.") from None

    async def write_response(self, resp: Response) -> None:
        """Write an answer, one message at a time, no faster than the client reads.

        Raises:
            DismissedError: the client does not read, or the store failed between two messages.
        """
        try:
            await self._write(resp)
        except UnavailableError as error:
            await self._write(ResponseBye(str(error).encode(), ResponseCode.of(b"UNAVAILABLE")))
            raise DismissedError(str(error)) from None

    async def _write(self, resp: Response) -> None:
        with suppress(ConnectionError):
            if isinstance(resp, CommandResponse):
                for untagged in resp._untagged:  # noqa: SLF001 - pymap writes all of them before it waits
                    await untagged.async_write(self.writer)
                    await self._patiently(self.writer.drain())
                Response.write(resp, self.writer)
            else:
                await resp.async_write(self.writer)
            await self._patiently(self.writer.drain())

    async def start_tls(self) -> None:
        """Encrypt; a command that was sent ahead in clear text must not pass for an encrypted one (CVE-2011-0411)."""
        if self.reader._buffer:  # type: ignore[attr-defined]  # noqa: SLF001 - no other way to see it
            raise DismissedError("Wait for the answer to STARTTLS.")
        await super().start_tls()

    async def send_error_disconnect(self) -> None:
        """Say why the connection is closed."""
        error = sys.exception()
        if isinstance(error, DismissedError):
            await self.write_response(ResponseBye(str(error).encode()))
        else:
            await super().send_error_disconnect()

    async def turn_away(self) -> None:
        """Close a connection that is one too many."""
        words = b"Too many connections; try again later."
        await self.write_response(ResponseBye(words, ResponseCode.of(b"UNAVAILABLE")))
        self.close()

    def _admit(self, octets: int) -> None:
        most = self.config.max_filter_len or 0
        if octets > (most + LONGEST_LINE if self._state.signed_in else _LONGEST_LITERAL_BEFORE_LOGIN):
            raise DismissedError("The literal is too large.")

    async def _patiently(self, step: Awaitable[T]) -> T:
        """Wait for the client, but not for ever."""
        try:
            async with asyncio.timeout(self._timeout if self._state.signed_in else self._timeout_before_login):
                return await step
        except TimeoutError:
            raise DismissedError("Silent for too long.") from None
        except asyncio.IncompleteReadError:
            raise EOFError from None
        except asyncio.LimitOverrunError:
            raise DismissedError("The line is too long.") from None


class Server:
    """Serves clients, up to a number of them at once."""

    def __init__(
        self, login: LoginInterface, settings: ImapSettings, ssl_context: SSLContext | None, *, encrypted: bool
    ) -> None:
        """Prepare a server.

        Args:
            login: who may sign in.
            settings: the limits.
            ssl_context: what STARTTLS encrypts with; None: it is not offered.
            encrypted: whether connections are encrypted from their start.
        """
        self._login = login
        self._settings = settings
        self._config = Config(settings, ssl_context, offers_tls=not encrypted)
        self._encrypted = encrypted
        self._clients: dict[Connection, asyncio.Task[Any] | None] = {}

    async def __call__(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one client until it leaves."""
        state = State(self._login, self._config, may_sign_in=self._may_sign_in(writer))
        connection = Connection(self._config, state, reader, writer, self._settings)
        if len(self._clients) >= self._settings.imap_connections:
            log.warning("imap.too_many_connections", most=self._settings.imap_connections)
            await connection.turn_away()
            return
        self._clients[connection] = asyncio.current_task()
        try:
            await self._serve(connection, state)
        finally:
            del self._clients[connection]
            connection.close()

    async def stop(self) -> None:
        """Tell everyone that the server stops, once their commands are done, and close all connections."""
        tasks: Sequence[asyncio.Task[Any]] = [task for task in self._clients.values() if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def clients(self) -> int:
        """How many are being served."""
        return len(self._clients)

    async def _serve(self, connection: Connection, state: State) -> None:
        async with AsyncExitStack() as stack:
            connection_exit.set(stack)
            try:
                await connection.run(state)
            except (DismissedError, ConnectionError, EOFError):
                pass  # it was told, or it left
            except Exception as error:  # noqa: BLE001 - a traceback can quote a message (R23)
                log.error("imap.session_failed", failure=type(error).__name__)

    def _may_sign_in(self, writer: StreamWriter) -> bool:
        peer = writer.get_extra_info("peername")
        return self._encrypted or plain_login.allowed(self._settings.plain_login, peer[0] if peer else None)
