"""R22: pages learn that something happened, and then ask what; a page without room for that asks by itself."""

from collections.abc import Iterator
from time import monotonic
from typing import Final

from flask import Response, current_app

from services.gateway.batching import BATCH_WATCH, BatchWatch, Shown
from services.gateway.problems import Code, Problem
from services.gateway.watching import FullError

_HEARTBEAT: Final = 10.0
_LONGEST: Final = 600.0
"""Seconds after which whoever watches comes back, and shows again that they may."""


def at_rest(shown: Shown) -> bool:
    """Tell whether a request moves no more by itself; one that waits for approval does."""
    return shown.state in ("settled", "rejected", "lapsed")


def stream(shown: Shown) -> Response:
    """Answer with the events of a request for many recalls; 204 once nothing moves any more.

    Raises:
        Problem: 503, if there is no room for one more.
    """
    if at_rest(shown):
        # a browser that is answered so does not come back
        return Response(status=204)
    watch: BatchWatch = current_app.extensions[BATCH_WATCH]
    try:
        watch.begin(shown.batch.id)
    except FullError:
        raise Problem(Code.UNAVAILABLE, "Too many live views are open.", headers={"Retry-After": "5"}) from None
    response = Response(_events(watch, shown), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(lambda: watch.end(shown.batch.id))
    return response


def _events(watch: BatchWatch, known: Shown) -> Iterator[str]:
    """Give an event for each change; what changed, the page asks."""
    began = monotonic()
    yield "retry: 2000\n\n"
    # between the page and this stream something may have happened
    yield "event: progress\ndata: \n\n"
    while not watch.stopped and monotonic() - began < _LONGEST:
        seen = watch.wait(known.batch.id, known, _HEARTBEAT)
        if seen is None:
            yield ": still there\n\n"
            continue
        known = seen
        yield f"event: {'settled' if at_rest(seen) else 'progress'}\ndata: \n\n"
        if at_rest(seen):
            return
