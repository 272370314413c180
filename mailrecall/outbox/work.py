"""The kinds of work there are: the names of the tasks, their queues and their arguments (ids and numbers only, R23)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Task(StrEnum):
    """What a worker can be asked to do."""

    EXPAND = "delivery.expand"
    DEPOSIT = "delivery.deposit"
    FILE_AUTHOR_COPY = "delivery.file_author_copy"
    BOUNCE = "delivery.bounce"
    RELAY = "delivery.relay"
    FORWARD = "delivery.forward"
    ADMIT = "recall.admit"
    PLAN = "recall.plan"
    PREPARE = "recall.prepare"
    WITHDRAW = "recall.withdraw"
    SETTLE = "recall.settle"
    RESTORE = "recall.restore"
    RECONCILE = "recall.reconcile"
    PURGE = "recall.purge"
    SUMMARISE = "reports.summarise"


SMALL = 500
"""Recipients up to which a message or a recall counts as small."""


class Queue:
    """Where each kind of work waits.

    What is done on a shard waits in queues of the shard's own; what is small waits in lanes of its own, for workers
    that do nothing large: mail to a million people holds up nobody's mail to one.
    """

    SMALL_DEPOSITS = "deposit.small"
    SMALL_WITHDRAWALS = "withdraw.small"

    DELIVERY = "delivery"
    RECALL = "recall"
    RECONCILE = "reconcile"
    REPORTS = "reports"

    @staticmethod
    def deposit(shard: int) -> str:
        """Return the queue of deposits into a shard."""
        return f"deposit.{shard}"

    @staticmethod
    def withdraw(shard: int) -> str:
        """Return the queue of withdrawals from a shard."""
        return f"withdraw.{shard}"


VERSION_HEADER = "payload_version"
"""The header of a published task that says which shape its arguments have; without it, the first."""
TRACE_HEADER = "traceparent"
"""The header that says which trace the task belongs to (W3C Trace Context)."""

Upgrade = Callable[[Mapping[str, int]], Mapping[str, int]]
"""Turns the arguments of one version into those of the next."""

UPGRADES: Mapping[Task, Sequence[Upgrade]] = {}
"""How the arguments of each task have changed: the first entry leads from version 1 to version 2, and so on.

Whoever changes what a task takes appends here. New workers then understand work that old processes wrote, and old
workers leave new work to the new ones: both run side by side while an installation is upgraded.
"""


def version_of(task: Task, upgrades: Mapping[Task, Sequence[Upgrade]] = UPGRADES) -> int:
    """Return the version of a task's arguments that this code writes, and the newest that it understands."""
    return 1 + len(upgrades.get(task, ()))


class TooNewError(Exception):
    """A newer version of the house wrote this work; it is for a newer worker to do."""


def upgraded(
    task: Task, version: int, args: Mapping[str, int], upgrades: Mapping[Task, Sequence[Upgrade]] = UPGRADES
) -> Mapping[str, int]:
    """Return arguments in the shape of today, whichever earlier version wrote them.

    Raises:
        TooNewError: a later version did.
    """
    steps = upgrades.get(task, ())
    if version > 1 + len(steps):
        raise TooNewError
    for step in steps[version - 1 :]:
        args = step(args)
    return args


@dataclass(frozen=True, slots=True)
class Work:
    """One task to be published."""

    task: Task
    queue: str
    args: Mapping[str, int]


def expand(message_id: int) -> Work:
    """Turn a message's envelope into delivery batches."""
    return Work(Task.EXPAND, Queue.DELIVERY, {"message_id": message_id})


def deposit(message_id: int, batch: int, shard: int, *, small: bool = False) -> Work:
    """Put one delivery batch's copies into their shard; small is the message's size, not the batch's."""
    queue = Queue.SMALL_DEPOSITS if small else Queue.deposit(shard)
    return Work(Task.DEPOSIT, queue, {"message_id": message_id, "batch": batch, "shard": shard})


def file_author_copy(message_id: int, shard: int) -> Work:
    """Put the author's own copy into their Sent folder."""
    return Work(Task.FILE_AUTHOR_COPY, Queue.SMALL_DEPOSITS, {"message_id": message_id, "shard": shard})


def bounce(message_id: int) -> Work:
    """Tell a message's sender of addressees who closed before it was delivered."""
    return Work(Task.BOUNCE, Queue.DELIVERY, {"message_id": message_id})


def relay(message_id: int) -> Work:
    """Hand a message to the smarthost for its external recipients."""
    return Work(Task.RELAY, Queue.DELIVERY, {"message_id": message_id})


def forward(message_id: int, account_id: int) -> Work:
    """Pass a message on, as an account's forwarding rule wants it."""
    return Work(Task.FORWARD, Queue.DELIVERY, {"message_id": message_id, "account_id": account_id})


def admit(request_id: int) -> Work:
    """Begin the recalls of a request whose messages were held by something else (R21)."""
    return Work(Task.ADMIT, Queue.RECALL, {"request_id": request_id})


def plan(recall_id: int) -> Work:
    """Divide a recall into batches."""
    return Work(Task.PLAN, Queue.RECALL, {"recall_id": recall_id})


def prepare(recall_id: int, batch: int, shard: int, *, small: bool = False) -> Work:
    """Find out on its shard whether one batch of an all-or-nothing recall can go, and keep it so until the decision."""
    return Work(Task.PREPARE, _lane(shard, small=small), {"recall_id": recall_id, "batch": batch, "shard": shard})


def withdraw(recall_id: int, batch: int, shard: int, *, small: bool = False) -> Work:
    """Withdraw one batch's copies from their shard; of an all-or-nothing recall, carry out its decision."""
    return Work(Task.WITHDRAW, _lane(shard, small=small), {"recall_id": recall_id, "batch": batch, "shard": shard})


def _lane(shard: int, *, small: bool) -> str:
    return Queue.SMALL_WITHDRAWALS if small else Queue.withdraw(shard)


def settle(recall_id: int) -> Work:
    """Add up a recall whose batches are all done."""
    return Work(Task.SETTLE, Queue.RECALL, {"recall_id": recall_id})


def restore(recall_id: int, batch: int, shard: int) -> Work:
    """R26: put back into its shard what a recall took of one batch."""
    return Work(Task.RESTORE, Queue.withdraw(shard), {"recall_id": recall_id, "batch": batch, "shard": shard})


def summarise(recall_id: int) -> Work:
    """Write the report mail of a settled recall."""
    return Work(Task.SUMMARISE, Queue.REPORTS, {"recall_id": recall_id})
