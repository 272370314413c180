"""Content on its way to a client: a message at a time, headers by the hundred."""

from collections.abc import Iterable, Sequence

from pymap.parsing.specials import FetchRequirement, SearchKey

from mailrecall.domain.copies import Folder
from mailrecall.mailstore.imap import Held
from services.delivery.imap.desk import Desk, MailboxDesk
from services.delivery.imap.meaning import Meaning, Need
from services.delivery.imap.message import LoadedMessage

_HEADERS_AT_ONCE = 100


class Loader:
    """Loads the messages of one FETCH in their order, no more than is about to be written."""

    def __init__(
        self, desk: Desk, mailbox: MailboxDesk, folder: Folder, messages: Sequence[Held], asked: Meaning
    ) -> None:
        self._desk = desk
        self._mailbox = mailbox
        self._folder = folder
        self._held = {held.uid: held for held in messages}
        self._left = [held.uid for held in messages]
        self._need = asked.need
        self._takes_apart = asked.takes_apart
        self._loaded: dict[int, bytes] = {}

    async def begin(self) -> None:
        """Load the first, so that a store which does not answer is found out before the answer has begun."""
        if not self._left:
            return
        first = self._left[0]
        if (content := await self._content(first)) is not None:
            self._loaded[first] = content

    async def load(self, uid: int) -> LoadedMessage:
        """Return a message with as much of its content as the FETCH needs."""
        content = await self._content(uid)
        loaded = LoadedMessage(self._held[uid], content, FetchRequirement.CONTENT)
        if self._takes_apart and content is not None:
            # taken apart in a thread too: a large message takes its time
            await self._desk.run(loaded.prepare)
        return loaded

    async def _content(self, uid: int) -> bytes | None:
        if self._need is Need.NOTHING:
            return None
        if self._need is Need.HEADER and uid not in self._loaded and uid in self._left:
            start = self._left.index(uid)
            some, self._left = self._left[start : start + _HEADERS_AT_ONCE], self._left[start + _HEADERS_AT_ONCE :]
            self._loaded = await self._desk.run(self._mailbox.headers, self._folder, some)
        if (loaded := self._loaded.pop(uid, None)) is not None:
            return loaded
        # one message at a time: a hundred with endless headers must not be held together
        return await self._desk.run(self._mailbox.content, self._folder, uid)


def needed_for(keys: Iterable[SearchKey]) -> tuple[FetchRequirement, Need]:
    """Return what a SEARCH needs of each message, in pymap's terms and ours."""
    requirement = FetchRequirement.reduce(key.requirement for key in keys)
    if _looks_inside(keys):
        return requirement, Need.ALL
    return requirement, Need.HEADER if requirement & FetchRequirement.HEADER else Need.NOTHING


def _looks_inside(keys: Iterable[SearchKey]) -> bool:
    return any(_key_looks_inside(key) for key in keys)


def _key_looks_inside(key: SearchKey) -> bool:
    if key.value == b"KEYSET":
        return _looks_inside(key.filter_key_set)
    if key.value == b"OR":
        return _looks_inside(key.filter_key_or)
    return key.value in (b"BODY", b"TEXT")
