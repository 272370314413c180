"""A database that does not answer is not asked by everybody: its callers fail at once, and one looks now and then."""

import threading
import time

import psycopg

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
_PROBE_TIMEOUT = 1.0
"""Seconds that the one who looks waits: others have shown that there is little hope."""


class AwayError(psycopg.OperationalError):
    """The database did not answer a moment ago, so it was not asked again."""


class Breaker:
    """What is known of one database's reachability, shared by a process's threads."""

    def __init__(self) -> None:
        """Assume that it answers."""
        self._lock = threading.Lock()
        self._pause = 0.0
        self._next_look = 0.0

    def admit(self, timeout: float) -> float:
        """Return how many seconds to wait for a connection.

        Raises:
            AwayError: the database is taken to be away, and it is not time to look again.
        """
        with self._lock:
            if not self._pause:
                return timeout
            now = time.monotonic()
            if now < self._next_look:
                raise AwayError("the database did not answer a moment ago")
            # this caller looks; the others are turned away in the meantime
            self._next_look = now + _PROBE_TIMEOUT + self._pause
            return min(timeout, _PROBE_TIMEOUT)

    def failed(self) -> None:
        """Note that the database could not be reached; the pause before the next look doubles."""
        with self._lock:
            self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            self._next_look = time.monotonic() + self._pause

    def answered(self) -> None:
        """Note that it answers."""
        if self._pause:
            with self._lock:
                self._pause = 0.0
