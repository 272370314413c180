"""R22: recalls that people look at, looked up twice a second for all of them together.

However many watch, one thread of the process asks the control database, with the same few statements; they wait in
memory for what it finds.
"""

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import psycopg
from psycopg import Connection
from psycopg_pool import PoolClosed, PoolTimeout

from mailrecall import logs
from mailrecall.domain.recalls import State
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import undoing, views
from mailrecall.recalls.undoing import Undo
from mailrecall.recalls.views import RecallView

log = logs.get(__name__)

T = TypeVar("T")

WATCH: Final = "mailrecall.watch"
"""Where the application keeps its one `Watch`."""

EVERY: Final = 0.5
"""Seconds between two looks: with what a look takes, nobody is told more than 2 s late."""
_IDLE_LOOKS: Final = 10
"""Looks at nothing after which the thread ends."""


class FullError(Exception):
    """As many watch as this process has room for."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A recall as it was found: what those who watch it are told is made of this."""

    recall: RecallView
    undo: Undo | None

    @property
    def at_rest(self) -> bool:
        """Whether nothing more is to come, unless somebody asks for it."""
        return self.recall.state is State.SETTLED and (self.undo is None or self.undo.restored_at is not None)


class Watcher(ABC, Generic[T]):
    """What the watchers of one process share; whatever they watch has a number."""

    def __init__(self, databases: Databases, *, most: int, every: float = EVERY) -> None:
        """Prepare to watch; nothing runs before somebody does.

        Args:
            databases: of the process.
            most: how many may watch at once.
            every: seconds between two looks.
        """
        self._databases = databases
        self._most = most
        self._every = every
        self._changed = threading.Condition()
        self._watched: Counter[int] = Counter()
        self._known: dict[int, T] = {}
        self._running = False
        self._stopped = False
        self._away = False
        self._ending = threading.Event()
        self.looks = 0
        """How often the database was asked so far."""

    def begin(self, recall_id: int) -> None:
        """Have a recall looked at until `end`.

        Raises:
            FullError: so many watch already.
        """
        with self._changed:
            if self._stopped or self._watched.total() >= self._most:
                raise FullError
            self._watched[recall_id] += 1
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="watch", daemon=True).start()

    def end(self, recall_id: int) -> None:
        """Look no longer for one of those who watch."""
        with self._changed:
            self._watched[recall_id] -= 1
            if self._watched[recall_id] <= 0:
                del self._watched[recall_id]
                self._known.pop(recall_id, None)

    def wait(self, recall_id: int, known: T | None, seconds: float) -> T | None:
        """Return the recall as soon as it is other than `known`; None if it is not within so many seconds.

        Who knows nothing yet, None, gets what the next look finds, or what others were told already.
        """

        def news() -> bool:
            found = self._known.get(recall_id, known)
            # mostly the very same: not compared part by part by everybody who watches
            return self._stopped or (found is not known and found != known)

        with self._changed:
            if not self._changed.wait_for(news, seconds) or self._stopped:
                return None
            return self._known.get(recall_id)

    @abstractmethod
    def find(self, control: Connection[Any], ids: list[int]) -> Mapping[int, T]:
        """Look up what is watched, all of it at once."""

    @property
    def watchers(self) -> int:
        """How many watch at this moment."""
        with self._changed:
            return self._watched.total()

    @property
    def stopped(self) -> bool:
        """Whether the process is about to end."""
        return self._stopped

    def stop(self) -> None:
        """Let everybody go who watches."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._ending.set()

    def _run(self) -> None:
        idle = 0
        while True:
            with self._changed:
                ids = list(self._watched)
                idle = 0 if ids else idle + 1
                if self._stopped or idle > _IDLE_LOOKS:
                    self._running = False
                    return
            if ids:
                self._look(ids)
            self._ending.wait(self._every)

    def _look(self, ids: list[int]) -> None:
        try:
            self.looks += 1
            with self._databases.control() as control:
                found = self.find(control, ids)
        except (psycopg.Error, PoolTimeout, PoolClosed) as error:
            # those who watch learn nothing new until it answers again
            if not self._away:
                log.warning("watch.failed", **logs.describe(error))
            self._away = True
            return
        self._away = False
        with self._changed:
            if self._keep(found):
                self._changed.notify_all()

    def _keep(self, found: Mapping[int, T]) -> bool:
        changed = False
        for recall_id, seen in found.items():
            if recall_id in self._watched and self._known.get(recall_id) != seen:
                self._known[recall_id] = seen
                changed = True
        return changed


class Watch(Watcher[Seen]):
    """Those who watch recalls."""

    def find(self, control: Connection[Any], ids: list[int]) -> Mapping[int, Seen]:
        """Look up recalls."""
        recalls, undos = views.many(control, ids), undoing.many(control, ids)
        return {recall_id: Seen(recall, undos.get(recall_id)) for recall_id, recall in recalls.items()}
