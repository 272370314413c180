"""How many requests are worked on at once, however many threads there are for those that only wait for news."""

from collections.abc import Iterable
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


_ALWAYS: Final = "/healthz"
"""Asks no database: were it to wait for those that do, a gateway would be started anew because a shard hangs."""


class Places:
    """Lets so many requests through to the application at a time; others wait, as they would for a thread.

    A request has its place while its answer is made, not while it is sent: so that a live view, whose answer never
    ends, takes no place, and each request in its place finds a database connection.
    """

    def __init__(self, app: "WSGIApplication", places: int) -> None:
        """Put so many places before an application."""
        self._app = app
        self._places = BoundedSemaphore(places)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serve a request."""
        if environ.get("PATH_INFO") == _ALWAYS:
            return self._app(environ, start_response)
        with self._places:
            return self._app(environ, start_response)
