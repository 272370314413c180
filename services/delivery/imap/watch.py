"""Wakes the sessions whose mailboxes changed: one connection for each shard listens, however many clients idle."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from mailrecall import logs
from mailrecall.mailstore.changes import LISTEN, Change
from mailrecall.postgres.databases import connection_options
from mailrecall.settings import Settings

log = logs.get(__name__)

_PAUSE = 1.0
"""Seconds before a lost connection is tried again."""


class Watch:
    """Listens to the shards."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: list[dict[int, set[asyncio.Event]]] = [{} for _ in settings.shard_urls]

    @contextmanager
    def mailbox(self, shard: int, mailbox_id: int) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the mailbox may have changed; it is set to begin with."""
        event = asyncio.Event()
        event.set()
        waiting = self._waiting[shard].setdefault(mailbox_id, set())
        waiting.add(event)
        try:
            yield event
        finally:
            for of_shard in self._waiting:
                if event in (left := of_shard.get(mailbox_id, set())):
                    left.discard(event)
                    if not left:
                        del of_shard[mailbox_id]

    def move(self, mailbox_id: int, to: int) -> None:
        """Listen for a mailbox's changes on another shard from now on."""
        for shard, of_shard in enumerate(self._waiting):
            if shard != to and (events := of_shard.pop(mailbox_id, None)):
                self._waiting[to].setdefault(mailbox_id, set()).update(events)
                for event in events:
                    event.set()  # what was told there before anybody listened

    async def run(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for shard in self._settings.shard_numbers:
                tasks.create_task(self._follow(shard, self._settings.shard_urls[shard]))

    async def _follow(self, shard: int, url: str) -> None:
        while True:
            try:
                await self._listen(shard, url)
            except Exception as error:  # noqa: BLE001 - whatever ended it, idling clients wait for the next
                log.warning("imap.watch_lost", shard=shard, failure=type(error).__name__)
            await asyncio.sleep(_PAUSE)

    async def _listen(self, shard: int, url: str) -> None:
        options = connection_options(self._settings, "imap-watch")
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, **options) as connection:
            await connection.execute(LISTEN)
            # whatever was told while nobody listened, everybody looks again for
            self._wake_all(shard)
            async for notice in connection.notifies():
                try:
                    self._wake(shard, Change.parse(notice.payload))
                except ValueError:
                    self._wake_all(shard)  # another version's, perhaps: whatever it says, something changed

    def _wake(self, shard: int, change: Change) -> None:
        waiting = self._waiting[shard]
        if change.first == change.last:
            touched = [change.first] if change.first in waiting else []
        else:
            touched = [mailbox_id for mailbox_id in waiting if change.first <= mailbox_id <= change.last]
        for mailbox_id in touched:
            for event in waiting[mailbox_id]:
                event.set()

    def _wake_all(self, shard: int) -> None:
        for events in self._waiting[shard].values():
            for event in events:
                event.set()
