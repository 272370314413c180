"""The commands of POP3 (RFC 1939, 2449, 2595, 5034).

Twisted's own would list deleted messages with no octets, change line ends, and not double a dot between two pieces of a
file.
"""

import base64
import binascii
from collections.abc import Callable
from typing import IO, Any

from twisted.internet.defer import Deferred
from twisted.protocols.basic import FileSender
from twisted.python.failure import Failure

from mailrecall import clock, logs
from mailrecall.mailstore.pop3 import Listed
from services.delivery.pop3.connection import Pop3Connection
from services.delivery.pop3.desk import Opened
from services.delivery.pop3.maildrop import Maildrop, number_of

log = logs.get(__name__)

_IN_THE_CLEAR = "A password comes over an encrypted connection only: start with STLS"


class Pop3Protocol(Pop3Connection):
    """One client."""

    # --- before signing in

    @property
    def _password_allowed(self) -> bool:
        return self.encrypted or self._plain_allowed

    def listCapabilities(self) -> list[bytes]:
        """Say what is served here (RFC 2449)."""
        capabilities = [b"TOP", b"UIDL", b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE", b"EXPIRE NEVER"]
        if self.mbox is None and self._password_allowed:
            capabilities += [b"USER", b"SASL PLAIN"]
        if self.mbox is None and self.factory.tls is not None and not self.encrypted:
            capabilities.append(b"STLS")
        return [*capabilities, b"IMPLEMENTATION Mail-Recall"]

    def do_STLS(self) -> None:
        """Start encrypting (RFC 2595 section 4)."""
        if self.encrypted or self.factory.tls is None:
            self.refuse("This connection is encrypted already" if self.encrypted else "No encryption is set up")
            return
        self.confirm("Begin")
        self._encrypting = True
        self._userIs = None
        # after the rest of what was read with the command, which is thrown away
        self.factory.reactor.callLater(0, self._encrypt)

    def _encrypt(self) -> None:
        if self._gone or self.factory.tls is None:
            return
        self._buffer = b""
        self._encrypting, self.encrypted = False, True
        self.transport.startTLS(self.factory.tls)

    def do_USER(self, user: bytes) -> None:
        """Take an address."""
        if not self._password_allowed:
            self.refuse(_IN_THE_CLEAR)
            return
        super().do_USER(user)

    def do_PASS(self, password: bytes, *words: bytes) -> None:
        """Take the password for it."""
        user, self._userIs = self._userIs, None
        if user is None:
            self.refuse("USER comes first")
            return
        self._sign_in(user, b" ".join((password, *words)))

    def do_AUTH(self, mechanism: bytes | None = None, initial: bytes | None = None) -> None:
        """Sign in with SASL PLAIN (RFC 5034, 4616)."""
        if mechanism is None:
            self.transport.write(b"+OK\r\nPLAIN\r\n.\r\n" if self._password_allowed else b"+OK\r\n.\r\n")
        elif mechanism.upper() != b"PLAIN":
            self.refuse("PLAIN is the one mechanism here")
        elif not self._password_allowed:
            self.refuse(_IN_THE_CLEAR)
        elif initial is None:
            self.transport.write(b"+ \r\n")
            self.state = "AUTH"
        else:
            self.state_AUTH(initial)

    def state_AUTH(self, line: bytes) -> None:
        """Take the credentials."""
        self.state = "COMMAND"
        if line == b"*":
            self.refuse("Cancelled")
            return
        try:
            on_behalf, user, password = base64.b64decode(line, validate=True).split(b"\0")
        except (binascii.Error, ValueError):
            self.refuse("Those are no credentials for PLAIN")
            return
        if on_behalf not in (b"", user):
            self.refuse("[AUTH] Nobody signs in for somebody else here")
            return
        self._sign_in(user, password)

    def _sign_in(self, user: bytes, password: bytes) -> None:
        desk, signing_in = self.factory.desk, self.factory.signing_in
        self._hold(
            signing_in.run(self.factory.in_thread, desk.sign_in, user, password, origin=self._origin, now=clock.now())
            .addCallback(lambda account: self._in_turn(desk.open, account))
            .addCallback(self._begin)
        )

    def _begin(self, opened: Opened) -> None:
        self._opened = opened
        if self._gone:
            # the client left while it was being signed in: nobody else will let go of the mailbox
            self._in_turn(self._close).addErrback(self._note)
            return
        self.mbox = Maildrop(opened.messages)
        self._patience = self.factory.settings.pop3_timeout
        count, octets = self.mbox.totals()
        log.info("pop3.signed_in", account_id=opened.account.id, messages=count)
        self.confirm(f"Your mailbox has {count} messages ({octets} octets)")

    # --- signed in

    def _session(self) -> tuple[Maildrop, Opened]:
        if self.mbox is None or self._opened is None:
            raise AssertionError("a command that needs a mailbox came through without one")
        return self.mbox, self._opened

    def do_STAT(self) -> None:
        """Count the messages."""
        maildrop, _ = self._session()
        count, octets = maildrop.totals()
        self.confirm(f"{count} {octets}")

    def do_LIST(self, i: bytes | None = None) -> None:
        """Tell the messages' sizes."""
        self._list(i, lambda message: message.size)

    def do_UIDL(self, i: bytes | None = None) -> None:
        """Tell the messages' ids, which stay theirs for good."""
        self._list(i, lambda message: message.copy_id)

    def _list(self, text: bytes | None, shown: Callable[[Listed], int]) -> None:
        maildrop, _ = self._session()
        if text is not None:
            number, message = maildrop.find(text)
            self.confirm(f"{number} {shown(message)}")
            return
        lines = [f"{number} {shown(message)}\r\n" for number, message in maildrop.left()]
        self.transport.write(f"+OK {len(lines)} messages\r\n{''.join(lines)}.\r\n".encode("ascii"))

    def do_RETR(self, i: bytes) -> None:
        """Hand out a message (R7)."""
        self._hand_out(i, None)

    def do_TOP(self, i: bytes, size: bytes) -> None:
        """Hand out a header and some lines of text (R7: with no lines, nothing happens to the copy)."""
        self._hand_out(i, number_of(size))

    def _hand_out(self, text: bytes, lines: int | None) -> None:
        maildrop, opened = self._session()
        _, message = maildrop.find(text)
        self._hold(
            self._in_turn(self.factory.desk.retrieve, opened, message.copy_id, lines, now=clock.now()).addCallback(
                self._send, f"{message.size} octets" if lines is None else "The top follows"
            )
        )

    def _send(self, file: IO[bytes] | None, announcement: str) -> "Deferred[Any] | None":
        if file is None:
            self.refuse("That message is no longer there")
            return None
        if self._gone:
            file.close()
            return None
        self._sent += 1
        self._sending = True
        self.setTimeout(self._patience)
        self.confirm(announcement)

        def done(result: object) -> object:
            file.close()
            return result

        def end(_: object) -> None:
            self._sending = False
            self.sendLine(b".")

        sent: Deferred[Any] = FileSender().beginFileTransfer(file, self.transport, self._move_on)
        return sent.addBoth(done).addCallback(end)

    def _move_on(self, chunk: bytes) -> bytes:
        self.resetTimeout()
        return chunk

    def do_DELE(self, i: bytes) -> None:
        """Mark a message as deleted; QUIT deletes it."""
        maildrop, _ = self._session()
        number, _ = maildrop.find(i)
        maildrop.mark(number)
        self.confirm(f"Message {number} will be deleted")

    def do_RSET(self) -> None:
        """Take all marks back."""
        maildrop, _ = self._session()
        maildrop.unmark_all()
        self.confirm()

    def do_QUIT(self) -> None:
        """Delete what is marked, for good, let go of the mailbox, and only then say so."""
        if self.mbox is None:
            self._bid_farewell(0)
            return
        maildrop, opened = self._session()
        self._hold(
            self._in_turn(self._finish, opened, maildrop.marked())
            .addCallback(self._bid_farewell)
            .addErrback(self._quit_failed)
        )

    def _finish(self, opened: Opened, copy_ids: list[int]) -> int:
        deleted = self.factory.desk.delete(opened, copy_ids, now=clock.now()) if copy_ids else 0
        self._close()
        return deleted

    def _bid_farewell(self, deleted: int) -> None:
        if self._gone:
            return
        self.confirm(f"Bye, {deleted} messages deleted" if deleted else "Bye")
        self.leave()

    def _quit_failed(self, failure: Failure) -> None:
        self._failed(failure)
        self.leave()
