"""What a process counts and times while it works; every function is cheap and never fails.

The instruments are made at the first use: `sharing.begin`, which says where their numbers are kept, comes before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from threading import Lock

from prometheus_client import Counter, Histogram

from mailrecall.domain.outcomes import Outcome

_QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instruments:
    requests: Histogram
    uncounted: Counter
    tasks: Histogram
    recalls: Histogram
    asked: Counter
    outcomes: Counter
    accepted: Counter
    refused: Counter
    deposited: Counter
    relayed: Counter
    published: Counter


_making = Lock()


def _instruments() -> _Instruments:
    # two threads whose first requests come at once must not both register the same names
    with _making:
        return _made()


@cache
def _made() -> _Instruments:
    return _Instruments(
        requests=Histogram(
            "mailrecall_http_request_seconds",
            "HTTP requests by route and status, and how long they took.",
            ["method", "route", "status"],
            buckets=_QUICK,
        ),
        uncounted=Counter(
            "mailrecall_requests_uncounted", "Requests that no rate limit saw, because Redis did not answer."
        ),
        tasks=Histogram(
            "mailrecall_task_seconds",
            "Tasks by kind and how they ended (done, failed, outage, too_new), and how long they took.",
            ["task", "ended"],
            buckets=_QUICK,
        ),
        recalls=Histogram(
            "mailrecall_recall_seconds",
            "Settled recalls by result, and how long it was from the request to the settlement.",
            ["result"],
            buckets=_LONG,
        ),
        asked=Counter("mailrecall_recalls_asked", "Requests for a recall by their answer.", ["answer"]),
        outcomes=Counter("mailrecall_outcomes", "Recipients of settled recalls by outcome.", ["outcome"]),
        accepted=Counter("mailrecall_messages_accepted", "Messages taken in, by channel.", ["channel"]),
        refused=Counter("mailrecall_intake_refused", "Commands that intake refused.", ["channel", "command", "status"]),
        deposited=Counter("mailrecall_copies_deposited", "Copies put into mailboxes, by shard.", ["shard"]),
        relayed=Counter(
            "mailrecall_external_recipients", "External recipients by what the smarthost said.", ["answer"]
        ),
        published=Counter("mailrecall_outbox_published", "Work that the relay published, by task.", ["task"]),
    )


def request_served(method: str, route: str, status: int, seconds: float) -> None:
    """Count one HTTP request; `route` is a rule of the application, never what a client wrote."""
    _instruments().requests.labels(method, route, str(status)).observe(seconds)


def request_uncounted() -> None:
    """Count a request that was let through because rate limits could not be counted."""
    _instruments().uncounted.inc()


def task_ended(task: str, ended: str, seconds: float) -> None:
    """Count one run of a task."""
    _instruments().tasks.labels(task, ended).observe(seconds)


def recall_asked(answer: str) -> None:
    """Count a request for a recall: `accepted`, `repeated`, or the refusal (R10)."""
    _instruments().asked.labels(answer).inc()


def recall_settled(result: str, outcomes: Mapping[str, int], seconds: float) -> None:
    """Count a settled recall with its recipients' outcomes (R9)."""
    _instruments().recalls.labels(result).observe(seconds)
    for outcome, count in outcomes.items():
        _instruments().outcomes.labels(outcome).inc(count)


def outcomes_begin() -> None:
    """Show every outcome (R9) with a count of 0 before the first recall settles.

    How much a series grew is told by its earlier points: one that is born with its first outcomes has not grown.
    """
    for outcome in Outcome:
        _instruments().outcomes.labels(outcome.slug)


def message_accepted(channel: str) -> None:
    """Count a message that is on disk."""
    _instruments().accepted.labels(channel).inc()


def intake_refused(channel: str, command: str, status: str) -> None:
    """Count a refused command of SMTP or LMTP."""
    _instruments().refused.labels(channel, command, status).inc()


def copies_deposited(shard: int, count: int) -> None:
    """Count copies that now lie in their mailboxes."""
    _instruments().deposited.labels(str(shard)).inc(count)


def relayed(answers: Mapping[str, int]) -> None:
    """Count external recipients: `taken`, `refused` or `deferred`."""
    for answer, count in answers.items():
        _instruments().relayed.labels(answer).inc(count)


def work_published(task: str, count: int) -> None:
    """Count work that went from the outbox to the broker."""
    _instruments().published.labels(task).inc(count)
