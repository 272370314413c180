"""What POP3 asks of the databases: who signs in, what lies in the inbox, what is handed out and what is deleted.

These functions wait for the database; the server calls them in threads.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from psycopg import Connection

from mailrecall.directory import guessing
from mailrecall.directory.guessing import Throttled
from mailrecall.directory.lookup import Account
from mailrecall.mailstore import pop3, reading, residence
from mailrecall.mailstore.exclusive import Hold, MailboxLocks
from mailrecall.mailstore.pop3 import Listed
from mailrecall.mailstore.residence import MailboxMovedError
from mailrecall.postgres.databases import Databases
from services.delivery.pop3 import wire

_IN_MEMORY = 256 * 1024
"""Octets of a message on its way to a client that are kept in memory; the rest of a larger one waits in a file."""


class RefusedError(Exception):
    """The client's request cannot be granted; `reply` is what it is told after -ERR."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


class DeniedError(RefusedError):
    """The address and the password belong to nobody."""


class TooManyGuessesError(RefusedError):
    """No password is looked at for some time."""


class EndedError(RefusedError):
    """The session has lost its mailbox and must end."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A mailbox that a session has to itself."""

    account: Account
    hold: Hold
    messages: Sequence[Listed]
    """As they were when the session began."""


class Desk:
    """POP3's side of the databases."""

    def __init__(self, databases: Databases, locks: MailboxLocks, *, password_guesses: int) -> None:
        self._databases = databases
        self._locks = locks
        self._password_guesses = password_guesses

    def sign_in(self, login: bytes, password: bytes, *, origin: str, now: datetime) -> Account:
        """Return the account that an address and a password belong to.

        Args:
            login: the address as the client gave it.
            password: as the client gave it.
            origin: the client's network address; empty where that is not known.
            now: the present moment.

        Raises:
            DeniedError: they belong to none.
            TooManyGuessesError: too many were wrong before.
        """
        account = None
        try:
            address, secret = login.decode(), password.decode()
        except UnicodeDecodeError:
            pass
        else:
            limit = self._password_guesses
            account = guessing.sign_in(self._databases, address, secret, origin=origin, limit=limit, now=now)
        if isinstance(account, Throttled):
            # RFC 3206: what [AUTH] says would have the program ask its user for another password
            wait = f"[SYS/TEMP] Too many passwords were wrong; try again in {account.retry_after} seconds"
            raise TooManyGuessesError(wait)
        if account is None:
            raise DeniedError("[AUTH] Address or password is wrong")
        return account

    def open(self, account: Account) -> Opened:
        """Give a mailbox to a session, and to this one only until it is closed.

        Raises:
            RefusedError: another session has it.
        """
        hold = self._locks.take(account.shard, account.id)
        if hold is None:
            raise RefusedError("[IN-USE] Another session has this mailbox open; try again later")
        try:
            with residence.unmoved(self._databases, account) as connection:
                return Opened(account, hold, pop3.maildrop(connection, account.id))
        except BaseException:
            hold.release()
            raise

    def close(self, opened: Opened) -> None:
        """End a session's hold on its mailbox."""
        opened.hold.release()

    def retrieve(self, opened: Opened, copy_id: int, lines: int | None, *, now: datetime) -> IO[bytes] | None:
        """Return what is to be sent of a copy, dots doubled; None when the copy is gone.

        Args:
            opened: the mailbox.
            copy_id: which.
            lines: of the body, after the header; None: everything.
            now: the present moment.

        Raises:
            EndedError: the session has lost the mailbox.
        """
        if opened.hold.lost:
            raise _ended()
        account = opened.account
        with self._own(account) as connection:
            if lines == 0:
                content = reading.content_of(connection, account.id, copy_id)
            else:
                content = pop3.fetch(connection, account.id, copy_id, now=now)
        if content is None:
            return None
        return _spooled(wire.stuffed(content if lines is None else wire.top(content, lines)))

    def delete(self, opened: Opened, copy_ids: Sequence[int], *, now: datetime) -> int:
        """Delete copies for good, all or none; return how many of them were still there.

        Raises:
            EndedError: the session has lost the mailbox.
        """
        if not opened.hold.stands():
            raise _ended()
        account = opened.account
        with self._own(account) as connection:
            return pop3.delete(connection, account.id, copy_ids, now=now)

    @contextmanager
    def _own(self, account: Account) -> Iterator[Connection[Any]]:
        """Give a transaction on the shard that keeps the hold; a mailbox that left it is no longer the session's."""
        try:
            with residence.unmoved(self._databases, account) as connection:
                yield connection
        except MailboxMovedError:
            raise _ended() from None


def _spooled(octets: bytes) -> IO[bytes]:
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - whoever sends it closes it
    file.write(octets)
    file.seek(0)
    return file


def _ended() -> EndedError:
    return EndedError("[SYS/TEMP] This session has lost its mailbox; nothing was deleted, connect again")
