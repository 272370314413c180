"""The POP3 server: its clients, the threads that wait for databases for them, and how it stops."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from OpenSSL import SSL
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IAddress, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import ServerFactory
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from mailrecall import logs
from services.delivery import plain_login
from services.delivery.pop3.connection import STOPPING, Pop3Connection
from services.delivery.pop3.desk import Desk
from services.delivery.pop3.protocol import Pop3Protocol
from services.delivery.pop3.settings import Pop3Settings

log = logs.get(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_LOGINS_AT_ONCE = 2
_SECONDS_TO_VANISH = 1.0


@implementer(IOpenSSLServerConnectionCreator)
class Encryption:
    """What Twisted encrypts with, which the standard library's contexts are not for: TLS 1.2 and newer."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read a certificate and its key, in files that `mailrecall.tls` has accepted."""
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_2_VERSION)
        self._context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        self._context.use_certificate_chain_file(str(certificate))
        self._context.use_privatekey_file(str(key))

    def serverConnectionForTLS(self, _protocol: object) -> SSL.Connection:
        """Begin a connection."""
        return SSL.Connection(self._context, None)


class Pop3Factory(ServerFactory):
    """Serves clients until it is stopped."""

    noisy = False

    def __init__(self, desk: Desk, settings: Pop3Settings, reactor: Any, tls: Encryption | None) -> None:
        self.desk = desk
        self.settings = settings
        self.reactor = reactor
        self.tls = tls
        self.connections: set[Pop3Connection] = set()
        # a password check costs a core and much memory on purpose; guessing must not leave none for the mail
        self.signing_in = DeferredSemaphore(_LOGINS_AT_ONCE)
        self._threads = ThreadPool(0, settings.pool_size, "pop3")
        self._threads.start()
        self.stopping = False

    @property
    def crowded(self) -> bool:
        """Whether a new client has to come again later."""
        return self.stopping or len(self.connections) > self.settings.pop3_connections

    def buildProtocol(self, addr: IAddress | None) -> Any:  # noqa: ARG002 - Twisted's signature
        """Serve a client."""
        return Pop3Protocol(self)

    def plain_allowed(self, peer: Any) -> bool:
        """Tell whether a client's password may come in the clear."""
        return plain_login.allowed(self.settings.plain_login, getattr(peer, "host", None))

    def in_thread(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Deferred[T]":
        """Let a function that waits for a database be called in a thread; there are as many as connections."""
        return deferToThreadPool(self.reactor, self._threads, function, *args, **kwargs)

    def ended(self, connection: Pop3Connection) -> None:
        """Forget a client that is gone."""
        self.connections.discard(connection)
        connection.ended.callback(None)

    def stop(self) -> "Deferred[None]":
        """Let what is being carried out come to its end, within limits, then let everybody go."""
        self.stopping = True
        for connection in list(self.connections):
            if not connection.busy:
                connection.leave(STOPPING)
        stopped: Deferred[None] = Deferred()
        DeferredList([connection.ended for connection in self.connections]).addCallback(
            lambda _: stopped.callback(None)
        )
        limit = self.reactor.callLater(self.settings.stop_timeout, self._cut_off, stopped)

        def done(_: object) -> None:
            if limit.active():
                limit.cancel()
            self._threads.stop()

        return stopped.addBoth(done)

    def _cut_off(self, stopped: "Deferred[None]") -> None:
        log.warning("pop3.cut_off", connections=len(self.connections))
        for connection in list(self.connections):
            connection.cut_off()
        self.reactor.callLater(_SECONDS_TO_VANISH, stopped.cancel)
