"""SMTP submission (RFC 6409): mail from the people who have accounts here, after they signed in."""

import asyncio
import ssl
from typing import Any

import psycopg
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from mailrecall import clock, logs
from mailrecall.directory.guessing import Throttled
from mailrecall.directory.lookup import Account
from mailrecall.domain.recalls import Channel
from mailrecall.mime import trace
from services.delivery import plain_login
from services.delivery.intake.desk import Desk
from services.delivery.intake.handlers import Handler, IntakeEnvelope, in_thread, unavailable
from services.delivery.intake.protocol import Connections, IntakeProtocol
from services.delivery.intake.settings import IntakeSettings

log = logs.get(__name__)

_ATTEMPTS_TO_SIGN_IN = 5
_LOGINS_AT_ONCE = 2
_UNLIMITED = 1_000_000_000


class SubmissionHandler(Handler):
    """Decides for people who signed in."""

    channel = Channel.SUBMISSION
    protocols = (trace.Protocol.ESMTPA, trace.Protocol.UTF8SMTPA)

    def __init__(self, desk: Desk, settings: IntakeSettings) -> None:
        super().__init__(desk, settings)
        # a password check costs a core and much memory on purpose; guessing must not leave none for the mail
        self._logins = asyncio.Semaphore(_LOGINS_AT_ONCE)

    def account(self, session: Session) -> Account | None:
        """Return who signed in."""
        signed_in: object = session.auth_data
        return signed_in if isinstance(signed_in, Account) else None

    async def sign_in(self, credentials: LoginPassword, *, origin: str) -> AuthResult:
        """Check an address and a password that came from a network address."""
        try:
            async with self._logins:
                account = await in_thread(
                    self.desk.sign_in, credentials.login, credentials.password, origin=origin, now=clock.now()
                )
        except psycopg.Error as error:
            unavailable("AUTH", error)
            return AuthResult(success=False, handled=False, message="454 4.7.0 Temporary authentication failure")
        if isinstance(account, Throttled):
            log.warning("intake.guesses_throttled")
            # RFC 4954 section 6: a program that is told so does not ask its user for another password
            wait = f"454 4.7.0 Too many passwords were wrong; try again in {account.retry_after} seconds"
            return AuthResult(success=False, handled=False, message=wait)
        if account is None:
            log.info("intake.login_failed")
            return AuthResult(success=False, handled=False)
        log.info("intake.signed_in", account_id=account.id)
        return AuthResult(success=True, auth_data=account)


class SubmissionProtocol(IntakeProtocol):
    """One mail program's connection."""

    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"

    def __init__(
        self,
        handler: SubmissionHandler,
        settings: IntakeSettings,
        connections: Connections,
        tls_context: ssl.SSLContext | None,
    ) -> None:
        self._plain_login = settings.plain_login
        self._handler = handler
        self._origin = ""
        super().__init__(
            handler,
            settings,
            connections,
            tls_context=tls_context,
            auth_required=True,
            authenticator=_as_given,
            command_call_limit={"AUTH": _ATTEMPTS_TO_SIGN_IN, "*": _UNLIMITED},
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Decide whether a password may come over this connection as it is; after STARTTLS it always may."""
        peer = transport.get_extra_info("peername")
        self._origin = str(peer[0]) if peer else ""
        self._auth_require_tls = not plain_login.allowed(self._plain_login, self._origin)
        super().connection_made(transport)

    def _create_envelope(self) -> IntakeEnvelope:
        return IntakeEnvelope()

    # aiosmtpd reads the credentials and asks its authenticator, which cannot wait for anything; so that one hands them
    # through, and they are checked here before anybody believes them.

    async def auth_PLAIN(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802 - aiosmtpd's name for it
        """Sign in with RFC 4616."""
        return await self._checked(await super().auth_PLAIN(server, args))

    async def auth_LOGIN(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802 - aiosmtpd's name for it
        """Sign in the way older mail programs do."""
        return await self._checked(await super().auth_LOGIN(server, args))

    async def _checked(self, given: AuthResult) -> AuthResult:
        if not given.success or not isinstance(given.auth_data, LoginPassword):
            return AuthResult(success=False, handled=given.handled, message=given.message)
        return await self._handler.sign_in(given.auth_data, origin=self._origin)


def _as_given(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, credentials: Any) -> AuthResult:
    return AuthResult(success=True, auth_data=credentials)
