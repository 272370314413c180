"""R22: progress as server-sent events."""

import hashlib
from collections.abc import Iterator
from time import monotonic
from typing import Final

from flask import Response, current_app, json, request

from services.gateway.problems import Code, Problem
from services.gateway.recalling import Watched
from services.gateway.schemas.recalls import ProgressSchema
from services.gateway.watching import WATCH, FullError, Seen, Watch

_PROGRESS = ProgressSchema()
_HEARTBEAT: Final = 10.0
"""Seconds of silence after which a comment is sent: nothing between here and the reader gives up on a silent minute."""
_LONGEST: Final = 600.0
"""Seconds after which whoever watches has to come back, and to show again that they may."""
_COME_BACK: Final = 2000
"""Milliseconds after which a browser comes back."""
_RETRY_AFTER: Final = "5"


def stream(watched: Watched) -> Response:
    """Answer with the events of a recall.

    Raises:
        Problem: 503, if there is no room for one more.
    """
    watch: Watch = current_app.extensions[WATCH]
    last = request.headers.get("Last-Event-ID", "")
    if watched.seen.at_rest:
        if last == _encoded(watched, watched.seen)[0]:
            # a browser that is answered so does not come back
            return Response(status=204)
        return _response(_events(watch, watched, last))
    try:
        watch.begin(watched.seen.recall.id)
    except FullError:
        detail = "Too many live views are open here; ask for the recall itself every few seconds instead."
        raise Problem(Code.UNAVAILABLE, detail, headers={"Retry-After": _RETRY_AFTER}) from None
    response = _response(_events(watch, watched, last))
    # also where the reader left before the first event
    response.call_on_close(lambda: watch.end(watched.seen.recall.id))
    return response


def _response(events: Iterator[str]) -> Response:
    response = Response(events, mimetype="text/event-stream")
    # nginx would hold events back until it has enough of them
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _events(watch: Watch, watched: Watched, last: str) -> Iterator[str]:
    """Give events from what was known at the beginning on."""
    began = monotonic()
    seen: Seen | None = watched.seen
    known = watched.seen
    yield f"retry: {_COME_BACK}\n\n"
    while True:
        if seen is None:
            yield ": still there\n\n"
        else:
            known = seen
            name, text = _encoded(watched, seen)
            if seen.at_rest or name != last:
                yield f"id: {name}\nevent: {'settled' if seen.at_rest else 'progress'}\ndata: {text}\n\n"
            if seen.at_rest:
                return
        if watch.stopped or monotonic() - began > _LONGEST:
            return
        seen = watch.wait(known.recall.id, known, _HEARTBEAT)


def _encoded(watched: Watched, seen: Seen) -> tuple[str, str]:
    """Return a name for what somebody is told, and that itself, on one line."""
    text = json.dumps(_PROGRESS.dump(watched.progress(seen)))
    return hashlib.sha256(text.encode()).hexdigest()[:16], text
