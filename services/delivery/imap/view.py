"""What a client has been shown of the folder it has open, and how that is brought to the present."""

import asyncio
from collections.abc import Collection

from pymap.concurrent import Event
from pymap.flags import PermanentFlags, SessionFlags
from pymap.parsing.specials import ObjectId, SequenceSet
from pymap.selected import SelectedMailbox

from mailrecall.domain.copies import Folder
from mailrecall.mailstore.imap import Held, View
from services.delivery.imap.desk import Desk, MailboxDesk, UnavailableError
from services.delivery.imap.message import FLAGS, ImapMessage


class Shown:
    """The messages of the open folder as the client knows them."""

    def __init__(self, desk: Desk, mailbox: MailboxDesk, changed: asyncio.Event) -> None:
        self._desk = desk
        self._mailbox = mailbox
        self._changed = changed
        self._known: dict[int, Held] = {}
        self._held_back = False

    def open(self, object_id: ObjectId, folder: Folder, *, readonly: bool) -> SelectedMailbox:
        """Begin with a folder of which nothing is known."""
        self._known, self._held_back = {}, False
        return SelectedMailbox(object_id, readonly, PermanentFlags(FLAGS), SessionFlags(()), lookup=folder)

    def __contains__(self, uid: int) -> bool:
        return uid in self._known

    def now(self, held: Held) -> Held:
        """Return a message as it is known now, or as it was if it is gone."""
        return self._known.get(held.uid, held)

    def named(self, selected: SelectedMailbox, sequence_set: SequenceSet) -> list[tuple[int, Held]]:
        """Return the messages that a command names and that are still there, with their sequence numbers."""
        named = selected.messages.get_all(sequence_set)
        return [(seq, self._known[cached.uid]) for seq, cached in named if cached.uid in self._known]

    async def change(self, wait_on: Event) -> bool:
        """Wait until the mailbox may have changed, or the client stops idling; return whether the former."""
        if self._held_back:
            return True
        waits = [asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(wait_on.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self._changed.is_set()

    async def tell(self, selected: SelectedMailbox | None, *, anew: bool = False) -> SelectedMailbox | None:
        """Look again if somebody said that the mailbox changed, or if asked to."""
        if selected is not None:
            # R13: what an all-or-nothing recall has prepared can go without a word from this shard
            if anew or self._changed.is_set() or any(held.undecided for held in self._known.values()):
                await self.look(selected)
            else:
                self._update(selected, (), ())
        return selected

    async def tell_after(
        self, selected: SelectedMailbox | None, *, anew: bool = False, gone: Collection[int] = ()
    ) -> SelectedMailbox | None:
        """Tell what `tell` tells, after a change that is committed: were it refused now, a client would make it twice.

        Args:
            selected: the open folder.
            anew: whether to look again in any case.
            gone: UIDs that the change took out of the folder, known also where no look comes about.
        """
        try:
            return await self.tell(selected, anew=anew)
        except UnavailableError:  # the next command looks again
            if selected is not None:
                gone = self._known.keys() & set(gone)
                self._known = {uid: held for uid, held in self._known.items() if uid not in gone}
                self._update(selected, (), gone)
            return selected

    async def look(self, selected: SelectedMailbox) -> View:
        """Bring what the client is shown to the present."""
        # cleared first: what changes during the look is looked at again
        self._changed.clear()
        try:
            view: View = await self._desk.run(self._mailbox.look, selected.lookup)
        except BaseException:
            self._changed.set()
            raise
        now = {held.uid: held for held in view.messages}
        new = [ImapMessage(held) for uid, held in now.items() if self._known.get(uid) != held]
        gone = [uid for uid in self._known if uid not in now]
        for uid in view.fresh & now.keys():
            selected.session_flags.add_recent(uid)
        self._known = now
        self._update(selected, new, gone)
        return view

    def _update(self, selected: SelectedMailbox, new: Collection[ImapMessage], gone: Collection[int]) -> None:
        selected.add_updates(new, gone)
        self._held_back = selected.hide_expunged and (self._held_back or bool(gone))
