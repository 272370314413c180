"""What IMAP asks of the databases, in threads of which there are as many as connections: any number of clients wait."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, ParamSpec, TypeVar

import psycopg
from psycopg import Connection
from psycopg_pool import PoolTimeout
from pymap.exceptions import TemporaryFailure
from pymap.parsing.message import AppendMessage
from pymap.parsing.response import ResponseCode, ResponseNo

from mailrecall import clock, logs
from mailrecall.directory import guessing
from mailrecall.directory.guessing import Throttled
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Fact, Flag, Folder
from mailrecall.mailstore import imap
from mailrecall.mailstore.deposit import ListedMessage
from mailrecall.mailstore.imap import Held, Place, Placed, View
from mailrecall.mailstore.residence import Home
from mailrecall.messages import ids
from mailrecall.mime import sections
from mailrecall.mime.summary import summarise
from mailrecall.postgres.databases import Databases
from services.delivery.imap.meaning import Meaning
from services.delivery.imap.message import to_flags

log = logs.get(__name__)

HEAD = 16 * 1024
"""Octets read of a message for its header; of the few that have a longer one, all is read."""

P = ParamSpec("P")
R = TypeVar("R")


class UnavailableError(TemporaryFailure):
    """A database did not answer; the client is told so and may try again (RFC 5530)."""

    def __init__(self, said: str = "The mail store does not answer; try again later.") -> None:
        super().__init__(said)

    def get_response(self, tag: bytes) -> ResponseNo:
        """Return the answer to the command."""
        return ResponseNo(tag, str(self).encode(), ResponseCode.of(b"UNAVAILABLE"))


class TooManyGuessesError(UnavailableError):
    """No password is looked at for some time; RFC 5530's code for wrong ones would have people asked for another."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many passwords were wrong; try again in {retry_after} seconds.")


class Desk:
    """Runs work that waits for a database."""

    def __init__(self, databases: Databases, threads: int, *, password_guesses: int) -> None:
        self._databases = databases
        self._password_guesses = password_guesses
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="imap")

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do blocking work in a thread.

        Raises:
            UnavailableError: a database did not answer.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))
        except (psycopg.OperationalError, PoolTimeout) as error:
            log.warning("imap.database_failed", failure=type(error).__name__)
            raise UnavailableError from None

    def sign_in(self, login: str, password: str, *, origin: str) -> Account | Throttled | None:
        """Return the account that an address and a password belong to, or how long its password has to wait.

        Args:
            login: the address as the client gave it.
            password: as the client gave it.
            origin: the client's network address; empty where that is not known.
        """
        limit = self._password_guesses
        return guessing.sign_in(self._databases, login, password, origin=origin, limit=limit, now=clock.now())

    def mailbox(self, account: Account, moved: Callable[[int], object]) -> "MailboxDesk":
        """Return an account's mailbox; `moved` is called, in some thread, with the shard that it has moved to."""
        return MailboxDesk(self._databases, account, moved)

    def close(self) -> None:
        """Let running work end, and start no more."""
        self._threads.shutdown(cancel_futures=True)


class MailboxDesk:
    """One mailbox. All of it blocks: to be called through `Desk.run`."""

    def __init__(self, databases: Databases, account: Account, moved: Callable[[int], object]) -> None:
        self._databases = databases
        self._account = account
        self._home = Home(databases, account, moved)

    def look(self, folder: Folder) -> View:
        """Look at a folder; no read (R2)."""
        with self._shard() as shard:
            return imap.look(shard, self._place(folder), now=clock.now())

    def note_fetch(self, folder: Folder, messages: Collection[Held], meaning: Meaning, *, sets_seen: bool) -> set[int]:
        """R2, R5: commit what a FETCH means before it hands anything out.

        Returns:
            the UIDs of the messages that may be handed out.
        """
        by_facts: dict[Fact, list[int]] = {}
        for held in messages:
            facts = meaning.facts(held.attachment_count)
            if meaning.must_look(held.attachment_count):
                content = self.content(folder, held.uid)
                if content is not None and meaning.takes_attachment(sections.parse(content)):
                    facts |= Fact.ATTACHMENT_DOWNLOADED
            by_facts.setdefault(facts, []).append(held.uid)
        allowed = set(by_facts.pop(Fact(0), ()))
        if by_facts:
            flags = Flag.SEEN if sets_seen else Flag(0)
            with self._shard() as shard:
                for facts, uids in by_facts.items():
                    # only reading makes a message seen; to fetch an attachment with PEEK does not
                    seen = flags if Fact.READ in facts else Flag(0)
                    allowed |= imap.record(shard, self._place(folder), uids, facts, seen, now=clock.now())
        return allowed

    def content(self, folder: Folder, uid: int) -> bytes | None:
        """Return a message's octets; None when it is gone."""
        with self._shard() as shard:
            return imap.content(shard, self._place(folder), uid)

    def headers(self, folder: Folder, uids: Sequence[int]) -> dict[int, bytes]:
        """Return messages' headers, but for those that are gone or longer than `HEAD`: these come with the content."""
        with self._shard() as shard:
            heads = imap.heads(shard, self._place(folder), uids, HEAD)
        headers = {uid: sections.header_of(head, complete=len(head) < HEAD) for uid, head in heads.items()}
        return {uid: header for uid, header in headers.items() if header is not None}

    def set_flags(self, folder: Folder, uids: Collection[int], *, cleared: Flag, added: Flag) -> None:
        r"""Clear flags, then set flags; setting `\Seen` is a read (R2)."""
        with self._shard() as shard:
            imap.set_flags(shard, self._place(folder), uids, cleared=cleared, added=added, now=clock.now())

    def expunge(self, folder: Folder, uids: Collection[int]) -> int:
        r"""Delete for good what is flagged `\Deleted`; return how many."""
        with self._shard() as shard:
            return imap.expunge(shard, self._place(folder), uids, now=clock.now())

    def move(self, folder: Folder, uids: Collection[int], into: Folder) -> Placed:
        """Put messages into another folder."""
        with self._shard() as shard:
            return imap.move(shard, self._place(folder), uids, into, now=clock.now())

    def copy(self, folder: Folder, uids: Collection[int], into: Folder) -> Placed:
        """Make duplicates of messages in a folder."""
        new_ids = self._new_ids(len(uids))
        with self._shard() as shard:
            return imap.copy(shard, self._place(folder), uids, into, new_ids=new_ids, now=clock.now())

    def append(self, folder: Folder, messages: Sequence[AppendMessage]) -> Placed:
        """Put messages of the owner's own into a folder: all of them or none."""
        now = clock.now()
        new_ids = self._new_ids(len(messages))
        listed = [_listed(message, accepted_at=message.when or now) for message in messages]
        placed: list[Placed] = []
        with self._shard() as shard:
            for new_id, message, summary in zip(new_ids, messages, listed, strict=True):
                flags = to_flags(message.flag_set)
                place = self._place(folder)
                placed.append(imap.append(shard, place, new_id, summary, message.literal, flags=flags, now=now))
        return Placed(placed[0].uid_validity, [pair for one in placed for pair in one.uids])

    def _new_ids(self, count: int) -> Sequence[int]:
        with self._databases.control() as connection:
            return ids.unused_ids(connection, count)

    def _shard(self) -> AbstractContextManager[Connection[Any]]:
        return self._home.open()

    def _place(self, folder: Folder) -> Place:
        return Place(self._account.id, folder)


def _listed(message: AppendMessage, *, accepted_at: Any) -> ListedMessage:
    summary = summarise(message.literal)
    return ListedMessage(
        accepted_at=accepted_at,
        size=len(message.literal),
        from_header=summary.from_header,
        to_header=summary.to_header,
        subject=summary.subject,
        preview=summary.preview,
        attachments=summary.attachments,
    )
