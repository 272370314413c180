"""A client's session with its mailbox: pymap's questions, answered from the shard.

What a command means for the rules is committed before pymap writes its answer, and what other clients did is told at
the end of each command that may tell it. EXPUNGE is held back during FETCH, STORE and SEARCH, by UID too: pymap merges
the flags of one answer by sequence numbers, which must not change in between.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from pymap.concurrent import Event
from pymap.context import current_command
from pymap.exceptions import MailboxConflict, MailboxNotFound, MailboxReadOnly, NotAllowedError, NotSupportedError
from pymap.flags import FlagOp
from pymap.interfaces.message import MessageInterface
from pymap.interfaces.session import SessionInterface
from pymap.mailbox import MailboxSnapshot
from pymap.parsing.command.select import CloseCommand, FetchCommand
from pymap.parsing.message import AppendMessage
from pymap.parsing.response.code import AppendUid, CopyUid
from pymap.parsing.specials import Flag as ImapFlag
from pymap.parsing.specials import SearchKey, SequenceSet
from pymap.search import SearchCriteriaSet, SearchParams
from pymap.selected import SelectedMailbox

from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Flag, Folder
from mailrecall.mailstore.imap import Held, Placed, View
from services.delivery.imap import folders
from services.delivery.imap.desk import Desk, UnavailableError
from services.delivery.imap.loading import Loader, needed_for
from services.delivery.imap.meaning import Meaning, Need, meaning
from services.delivery.imap.message import FLAGS, ImapMessage, LoadedMessage, to_flags
from services.delivery.imap.view import Shown

_ALL_FLAGS = Flag(sum(FLAGS.values()))
_SEARCHED_AT_ONCE = 50
_PAUSE = 1.0
"""Seconds before a shard that did not answer an idling session is asked again."""
_NO_OTHER_FOLDERS = "Every mailbox has the same folders; they cannot be added to, renamed or deleted."


class Session(SessionInterface):
    """One signed-in client."""

    def __init__(self, desk: Desk, account: Account, changed: asyncio.Event, moved: Callable[[int], object]) -> None:
        self._desk = desk
        self._account = account
        self._mailbox = desk.mailbox(account, moved)
        self._shown = Shown(desk, self._mailbox, changed)

    @property
    def owner(self) -> str:
        """Who signed in."""
        return str(self._account.id)

    @property
    def filter_set(self) -> None:
        """There are no filters."""
        return

    def close(self) -> None:
        """Nothing is held."""

    async def cleanup(self) -> None:
        """Nothing is left over after a command."""

    async def list_mailboxes(
        self,
        ref_name: str,
        filter_: str,
        subscribed: bool = False,  # noqa: ARG002
        selected: SelectedMailbox | None = None,
    ) -> tuple[Iterable[tuple[str, str | None, Sequence[bytes]]], SelectedMailbox | None]:
        """List the folders with their special uses (RFC 6154); every one is subscribed."""
        return folders.matching(ref_name, filter_), await self._shown.tell(selected)

    async def get_mailbox(
        self, name: str, selected: SelectedMailbox | None = None
    ) -> tuple[MailboxSnapshot, SelectedMailbox | None]:
        """Count what a folder holds."""
        folder = _folder(name)
        view = await self._desk.run(self._mailbox.look, folder)
        return self._snapshot(folder, view, readonly=False), await self._shown.tell(selected)

    async def create_mailbox(self, name: str, selected: SelectedMailbox | None = None) -> Any:  # noqa: ARG002
        """Refuse: there are no other folders."""
        if folders.find(name) is not None:
            raise MailboxConflict(name)
        raise NotAllowedError(_NO_OTHER_FOLDERS)

    async def delete_mailbox(self, name: str, selected: SelectedMailbox | None = None) -> Any:  # noqa: ARG002
        """Refuse: the folders stay."""
        raise NotAllowedError(_NO_OTHER_FOLDERS) if folders.find(name) else MailboxNotFound(name)

    async def rename_mailbox(self, before_name: str, after_name: str, selected: SelectedMailbox | None = None) -> Any:  # noqa: ARG002
        """Refuse: the folders keep their names."""
        raise NotAllowedError(_NO_OTHER_FOLDERS) if folders.find(before_name) else MailboxNotFound(before_name)

    async def subscribe(self, name: str, selected: SelectedMailbox | None = None) -> SelectedMailbox | None:
        """Every folder is subscribed already."""
        _folder(name)
        return await self._shown.tell(selected)

    async def unsubscribe(self, name: str, selected: SelectedMailbox | None = None) -> Any:  # noqa: ARG002
        """Refuse: every folder is subscribed."""
        _folder(name)
        raise NotAllowedError("Every folder is subscribed.")

    async def append_messages(
        self, name: str, messages: Sequence[AppendMessage], selected: SelectedMailbox | None = None
    ) -> tuple[AppendUid, SelectedMailbox | None]:
        """Store messages of the owner's own; no recall reaches them."""
        placed = await self._desk.run(self._mailbox.append, _folder(name, try_create=True), messages)
        return AppendUid(placed.uid_validity, [uid for _, uid in placed.uids]), await self._shown.tell_after(selected)

    async def select_mailbox(self, name: str, readonly: bool = False) -> tuple[MailboxSnapshot, SelectedMailbox]:
        """Open a folder."""
        folder = _folder(name)
        selected = self._shown.open(folders.object_id(self._account.id, folder), folder, readonly=readonly)
        view = await self._shown.look(selected)
        return self._snapshot(folder, view, readonly=readonly), selected

    async def check_mailbox(
        self,
        selected: SelectedMailbox,
        *,
        wait_on: Event | None = None,
        housekeeping: bool = False,  # noqa: ARG002
    ) -> SelectedMailbox:
        """Look for what changed; while the client idles, wait until something may have."""
        if wait_on is None:
            await self._shown.look(selected)
        elif await self._shown.change(wait_on):
            try:
                await self._shown.look(selected)
            except UnavailableError:
                # an idling client waits for news, not for errors: pymap asks again at once
                await wait_on.wait(timeout=_PAUSE)
        return selected

    async def fetch_messages(
        self, selected: SelectedMailbox, sequence_set: SequenceSet, set_seen: bool
    ) -> tuple[Iterable[tuple[int, MessageInterface]], SelectedMailbox]:
        """R2, R5: what the FETCH means is committed here, before anything is handed out."""
        selected.hide_expunged = True
        command = current_command.get()
        asked = meaning(command.attributes if isinstance(command, FetchCommand) else ())
        await self._shown.tell(selected)
        wanted = self._shown.named(selected, sequence_set)
        allowed = await self._noted(selected, wanted, asked, sets_seen=set_seen)
        await self._shown.tell(selected, anew=asked.reads)
        loader = Loader(self._desk, self._mailbox, selected.lookup, [held for _, held in wanted], asked)
        await loader.begin()
        return [
            (seq, ImapMessage(self._shown.now(held), loader.load)) for seq, held in wanted if held.uid in allowed
        ], selected

    async def search_mailbox(
        self, selected: SelectedMailbox, keys: frozenset[SearchKey]
    ) -> tuple[Iterable[tuple[int, MessageInterface]], SelectedMailbox]:
        """Find messages; that their content is looked through hands nothing out and is no read."""
        selected.hide_expunged = True
        await self._shown.tell(selected)
        try:
            return await self._found(selected, keys), selected
        except RecursionError:
            raise NotSupportedError("That is nested too deeply.") from None

    async def _found(
        self, selected: SelectedMailbox, keys: frozenset[SearchKey]
    ) -> Sequence[tuple[int, MessageInterface]]:
        try:
            criteria = SearchCriteriaSet(keys, SearchParams(selected))
        except UnicodeEncodeError:
            raise NotSupportedError("The name of a header field is in US-ASCII.") from None
        candidates = [(seq, ImapMessage(held)) for seq, held in self._shown.named(selected, criteria.sequence_set)]
        found: list[tuple[int, MessageInterface]] = []
        for start in range(0, len(candidates), _SEARCHED_AT_ONCE):
            some = candidates[start : start + _SEARCHED_AT_ONCE]
            found += await self._desk.run(self._matching, selected.lookup, criteria, some, keys)
        return found

    async def expunge_mailbox(self, selected: SelectedMailbox, uid_set: SequenceSet | None = None) -> SelectedMailbox:
        r"""Delete for good what is flagged `\Deleted`."""
        if selected.readonly:
            if isinstance(current_command.get(), CloseCommand):
                return selected  # RFC 3501 section 6.4.2: then nothing is removed, and no error given
            raise MailboxReadOnly
        uids = [held.uid for _, held in self._shown.named(selected, uid_set or SequenceSet.all(uid=True))]
        await self._desk.run(self._mailbox.expunge, selected.lookup, uids)
        await self._shown.look(selected)
        return selected

    async def copy_messages(
        self, selected: SelectedMailbox, sequence_set: SequenceSet, mailbox: str
    ) -> tuple[CopyUid | None, SelectedMailbox]:
        """Make duplicates."""
        into = _folder(mailbox, try_create=True)
        placed = await self._put(selected, partial(self._mailbox.copy, selected.lookup, into=into), sequence_set)
        await self._shown.tell_after(selected, anew=True)
        return _copy_uid(placed), selected

    async def move_messages(
        self, selected: SelectedMailbox, sequence_set: SequenceSet, mailbox: str
    ) -> tuple[CopyUid | None, SelectedMailbox]:
        """Put messages into another folder."""
        if selected.readonly:
            raise MailboxReadOnly
        into = _folder(mailbox, try_create=True)
        placed = await self._put(selected, partial(self._mailbox.move, selected.lookup, into=into), sequence_set)
        await self._shown.tell_after(selected, anew=True, gone=[uid for uid, _ in placed.uids])
        return _copy_uid(placed), selected

    async def update_flags(
        self,
        selected: SelectedMailbox,
        sequence_set: SequenceSet,
        flag_set: frozenset[ImapFlag],
        mode: FlagOp = FlagOp.REPLACE,
    ) -> tuple[Iterable[tuple[int, MessageInterface]], SelectedMailbox]:
        r"""R2: change flags; to set `\Seen` is a read for good, and to clear it takes nothing back."""
        if selected.readonly:
            raise MailboxReadOnly
        selected.hide_expunged = True
        flags = to_flags(flag_set)
        cleared = {FlagOp.REPLACE: _ALL_FLAGS & ~flags, FlagOp.DELETE: flags, FlagOp.ADD: Flag(0)}[mode]
        added = Flag(0) if mode is FlagOp.DELETE else flags
        wanted = self._shown.named(selected, sequence_set)
        uids = [held.uid for _, held in wanted]
        await self._desk.run(self._mailbox.set_flags, selected.lookup, uids, cleared=cleared, added=added)
        await self._shown.look(selected)
        return [
            (seq, ImapMessage(self._shown.now(held), expunged=held.uid not in self._shown)) for seq, held in wanted
        ], selected

    async def _noted(
        self, selected: SelectedMailbox, wanted: Sequence[tuple[int, Held]], asked: Meaning, *, sets_seen: bool
    ) -> set[int]:
        messages = [held for _, held in wanted]
        if not asked.reads and not asked.whole and not asked.pieces:
            return {held.uid for held in messages}
        return await self._desk.run(self._mailbox.note_fetch, selected.lookup, messages, asked, sets_seen=sets_seen)

    def _matching(
        self,
        folder: Folder,
        criteria: SearchCriteriaSet,
        candidates: Sequence[tuple[int, ImapMessage]],
        keys: frozenset[SearchKey],
    ) -> list[tuple[int, MessageInterface]]:
        requirement, need = needed_for(keys)
        headers: dict[int, bytes] = {}
        if need is Need.HEADER:
            headers = self._mailbox.headers(folder, [message.uid for _, message in candidates])
        found: list[tuple[int, MessageInterface]] = []
        for seq, message in candidates:
            content = headers.get(message.uid)
            if content is None and need is not Need.NOTHING:
                # one message at a time, however many are looked through
                content = self._mailbox.content(folder, message.uid)
            if criteria.matches(seq, message, LoadedMessage(message.held, content, requirement)):
                found.append((seq, message))
        return found

    async def _put(self, selected: SelectedMailbox, how: Callable[..., Placed], sequence_set: SequenceSet) -> Placed:
        return await self._desk.run(how, uids=[held.uid for _, held in self._shown.named(selected, sequence_set)])

    def _snapshot(self, folder: Folder, view: View, *, readonly: bool) -> MailboxSnapshot:
        unseen = [number for number, held in enumerate(view.messages, 1) if Flag.SEEN not in held.flags]
        return MailboxSnapshot(
            folders.object_id(self._account.id, folder),
            readonly,
            view.uid_validity,
            FLAGS,
            frozenset(),
            len(view.messages),
            len(view.fresh),
            len(unseen),
            unseen[0] if unseen else None,
            view.next_uid,
        )


def _copy_uid(placed: Placed) -> CopyUid | None:
    return CopyUid(placed.uid_validity, placed.uids) if placed.uids else None


def _folder(name: str, *, try_create: bool = False) -> Folder:
    folder = folders.find(name)
    if folder is None:
        raise MailboxNotFound(name, try_create=try_create)
    return folder
