"""Signing in over IMAP: pymap's questions about identities, answered from the directory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any

from pymap.context import socket_info
from pymap.exceptions import AuthorizationFailure, InvalidAuth, NotAllowedError, NotSupportedError
from pymap.interfaces.login import IdentityInterface, LoginInterface
from pymap.interfaces.session import SessionInterface
from pymap.interfaces.token import TokensInterface
from pysasl.creds.plain import PlainCredentials
from pysasl.creds.server import ServerCredentials
from pysasl.identity import Identity as SaslIdentity

from mailrecall import logs
from mailrecall.directory.guessing import Throttled
from mailrecall.directory.lookup import Account
from services.delivery.imap.desk import Desk, TooManyGuessesError
from services.delivery.imap.session import Session
from services.delivery.imap.watch import Watch

log = logs.get(__name__)

_ELSEWHERE = "Accounts are managed elsewhere."
_LOGINS_AT_ONCE = 2


class Login(LoginInterface):
    """Who may sign in."""

    def __init__(self, desk: Desk, watch: Watch) -> None:
        self._desk = desk
        self._watch = watch
        # a password check costs a core and much memory on purpose; guessing must not leave none for the mail
        self._signing_in = asyncio.Semaphore(_LOGINS_AT_ONCE)

    @property
    def tokens(self) -> TokensInterface:
        """Refuse: none is ever issued."""
        raise NotSupportedError(_ELSEWHERE)

    async def authenticate(self, credentials: ServerCredentials) -> IdentityInterface:
        """Check an address and a password.

        Raises:
            InvalidAuth: they are not an open account's.
            TooManyGuessesError: too many were wrong before.
        """
        if not isinstance(credentials, PlainCredentials):
            raise InvalidAuth
        password = _Password()
        credentials.verify(password)
        async with self._signing_in:
            account = await self._desk.run(self._desk.sign_in, credentials.authcid, password.given, origin=_origin())
        if isinstance(account, Throttled):
            log.warning("imap.guesses_throttled")
            raise TooManyGuessesError(account.retry_after)
        if account is None:
            log.info("imap.login_refused")
            raise InvalidAuth
        return Identity(self._desk, self._watch, account, credentials.authcid)

    async def authorize(self, authenticated: IdentityInterface, authzid: str) -> IdentityInterface:
        """Let people act as themselves only."""
        if authzid != authenticated.name:
            raise AuthorizationFailure
        return authenticated


def _origin() -> str:
    """Return the network address of the client whose command is being carried out; pymap keeps it with the task."""
    client = socket_info.get(None)
    return str(client.peername_ip or "") if client else ""


class _Password(SaslIdentity):
    """Asks pymap's credentials for the password, which they show to nobody but an identity that they compare with."""

    def __init__(self) -> None:
        self.given = ""

    @property
    def authcid(self) -> str:
        """Nobody's."""
        return ""

    def get_clear_secret(self) -> None:
        """Tell nothing."""
        return

    def compare_authcid(self, authcid: str) -> bool:  # noqa: ARG002 - the directory decides
        """Accept any."""
        return True

    def compare_secret(self, secret: str) -> bool:
        """Note the password."""
        self.given = secret
        return False


class Identity(IdentityInterface):
    """Somebody who signed in."""

    def __init__(self, desk: Desk, watch: Watch, account: Account, login: str) -> None:
        self._desk = desk
        self._watch = watch
        self._account = account
        self._login = login
        self._loop = asyncio.get_running_loop()

    @property
    def name(self) -> str:
        """The address that was given, an alias perhaps."""
        return self._login

    @property
    def roles(self) -> frozenset[str]:
        """None that IMAP knows of."""
        return frozenset()

    def new_session(self) -> AbstractAsyncContextManager[SessionInterface]:
        """Begin a session, which ends with its connection."""
        return self._session()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[SessionInterface]:
        with self._watch.mailbox(self._account.shard, self._account.id) as changed:
            log.debug("imap.session_began", account_id=self._account.id)
            yield Session(self._desk, self._account, changed, self._follow)

    def _follow(self, shard: int) -> None:
        # called in a thread that found out
        self._loop.call_soon_threadsafe(self._watch.move, self._account.id, shard)

    async def new_token(self, *, expiration: datetime | None = None) -> str | None:  # noqa: ARG002
        """Issue none."""
        return None

    async def get(self) -> Any:
        """Refuse."""
        raise NotAllowedError(_ELSEWHERE)

    async def set(self, metadata: Any) -> Any:  # noqa: ARG002
        """Refuse."""
        raise NotAllowedError(_ELSEWHERE)

    async def delete(self) -> None:
        """Refuse."""
        raise NotAllowedError(_ELSEWHERE)
