"""R22: what moves on a page, written for each who looks at it from what all of them watch.

While its stream is open a page asks for nothing, and no database is asked for it: whose it is, what they may see and in
which language they read is settled when it opens.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Generic, TypeVar

from flask import Response, stream_with_context

from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import State
from services.gateway.pages import charts
from services.gateway.problems import Code, Problem
from services.gateway.recalling import Progress
from services.gateway.watching import FullError, Watcher

T = TypeVar("T")

_HEARTBEAT: Final = 10.0
"""Seconds of silence after which a page hears that nothing has changed; `recall.js` gives up on three times as long."""
_LONGEST: Final = 600.0
"""Seconds after which whoever watches comes back, and shows again that they may."""
_COME_BACK: Final = 2000
"""Milliseconds after which a browser comes back."""
_RETRY_AFTER: Final = "5"


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """The part of a page that moves."""

    watch: Watcher[T]
    number: int
    """Of what is watched."""
    at_rest: Callable[[T], bool]
    """Whether the page is what it will stay; it then has more to show than what is watched tells."""
    written: Callable[[T], str]
    """The part as HTML."""


def of_recall(progress: Progress) -> dict[str, Any]:
    """Return what the moving part of a recall's page is made of."""
    recall = progress.recall
    return {
        "progress": progress,
        "recall": recall,
        "settled": recall.state is State.SETTLED,
        "chart": charts.ring(recall.tally, recall.recipients),
        "unreachable": recall.tally[Outcome.UNREACHABLE],
    }


def stream(part: Part[T], known: T) -> Response:
    """Answer with a page's events: `part` with the part as it is, at the end `settled` with nothing.

    Args:
        part: of the page.
        known: what is watched, as it is now.

    Raises:
        Problem: 503, if there is no room for one more.
    """
    if part.at_rest(known):
        return _response(iter([_event("settled")]))
    try:
        part.watch.begin(part.number)
    except FullError:
        detail = "Too many live views are open."
        raise Problem(Code.UNAVAILABLE, detail, headers={"Retry-After": _RETRY_AFTER}) from None
    response = _response(stream_with_context(_events(part)))
    # also where the reader left before the first event
    response.call_on_close(lambda: part.watch.end(part.number))
    return response


def _response(events: Iterator[str]) -> Response:
    response = Response(events, mimetype="text/event-stream")
    # nginx would hold events back until it has enough of them
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _events(part: Part[T]) -> Iterator[str]:
    """Give events from the next look on: between the page and this stream something may have happened."""
    began = monotonic()
    known: T | None = None
    told = ""
    yield f"retry: {_COME_BACK}\n\n"
    while not part.watch.stopped and monotonic() - began < _LONGEST:
        seen = part.watch.wait(part.number, known, _HEARTBEAT)
        if seen is None:
            yield _event("still")
            continue
        known = seen
        if part.at_rest(seen):
            yield _event("settled")
            return
        # what has changed may be nothing that this page shows
        if (text := part.written(seen)) != told:
            told = text
            yield _event("part", text)


def _event(name: str, text: str = "") -> str:
    # WHATWG HTML 9.2: each of these ends a line, and what is told has lines of its own
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return f"event: {name}\n" + "".join(f"data: {line}\n" for line in lines) + "\n"
