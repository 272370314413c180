"""People who look at a recall: each a connection of its own that waits for server-sent events."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from mailrecall import clock


@dataclass(slots=True)
class Viewer:
    """What one of them was told."""

    status: int = 0
    """Of the answer; 0 as long as there is none."""
    events: int = 0
    last: str = ""
    """The name of the last event."""
    last_at: datetime | None = None
    failure: str = ""

    @property
    def saw_the_end(self) -> bool:
        """Whether the last that it was told is the result."""
        return self.last == "settled"


class Viewers:
    """All who look at one thing."""

    def __init__(self, url: str, count: int, headers: Mapping[str, str]) -> None:
        """Prepare.

        Args:
            url: of the stream.
            count: how many look at it.
            headers: of their requests, which say who they are.
        """
        self.all = [Viewer() for _ in range(count)]
        self._url, self._headers = url, headers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._look()], daemon=True)
        self._stop = asyncio.Event()

    def begin(self) -> None:
        """Have all of them look."""
        self._thread.start()

    def end(self) -> None:
        """Have those go who still look."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def all_look(self) -> bool:
        """Tell whether everybody has been told something, or never will be."""
        return all(viewer.events or viewer.failure for viewer in self.all)

    def all_ended(self) -> bool:
        """Tell whether nobody is told any more."""
        return not self._thread.is_alive()

    async def _look(self) -> None:
        limits = httpx.Limits(max_connections=len(self.all), max_keepalive_connections=0)
        async with httpx.AsyncClient(headers=self._headers, limits=limits, timeout=120.0, trust_env=False) as http:
            looking: asyncio.Future[Any] = asyncio.gather(*(self._watch(http, viewer) for viewer in self.all))
            stopping: asyncio.Future[Any] = asyncio.ensure_future(self._stop.wait())
            await asyncio.wait([looking, stopping], return_when=asyncio.FIRST_COMPLETED)
            for left in (looking, stopping):
                left.cancel()
            await asyncio.gather(looking, stopping, return_exceptions=True)

    async def _watch(self, http: httpx.AsyncClient, viewer: Viewer) -> None:
        try:
            async with http.stream("GET", self._url) as answer:
                viewer.status = answer.status_code
                if answer.status_code != httpx.codes.OK:
                    viewer.failure = f"was answered {answer.status_code}"
                    return
                async for line in answer.aiter_lines():
                    self._hear(viewer, line)
        except httpx.HTTPError as error:
            viewer.failure = f"{type(error).__name__}: {error}"

    @staticmethod
    def _hear(viewer: Viewer, line: str) -> None:
        name, _, value = line.partition(": ")
        if name == "event":
            viewer.events += 1
            viewer.last, viewer.last_at = value, clock.now()


@contextmanager
def looking(url: str, count: int, headers: Mapping[str, str]) -> Iterator[Viewers]:
    """Have some look at an address until the block ends."""
    viewers = Viewers(url, count, headers)
    viewers.begin()
    try:
        yield viewers
    finally:
        viewers.end()
