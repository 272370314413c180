"""The kinds of work there are: the names of the tasks, their queues and their arguments (ids and numbers only, R23)."""

from collections.abc import Mapping
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
    PLAN = "recall.plan"
    WITHDRAW = "recall.withdraw"
    SETTLE = "recall.settle"
    RECONCILE = "recall.reconcile"
    SUMMARISE = "reports.summarise"


class Queue:
    """Where each kind of work waits; what is done on a shard waits in queues of the shard's own."""

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


@dataclass(frozen=True, slots=True)
class Work:
    """One task to be published."""

    task: Task
    queue: str
    args: Mapping[str, int]


def expand(message_id: int) -> Work:
    """Turn a message's envelope into delivery batches."""
    return Work(Task.EXPAND, Queue.DELIVERY, {"message_id": message_id})


def deposit(message_id: int, batch: int, shard: int) -> Work:
    """Put one delivery batch's copies into their shard."""
    return Work(Task.DEPOSIT, Queue.deposit(shard), {"message_id": message_id, "batch": batch, "shard": shard})


def file_author_copy(message_id: int, shard: int) -> Work:
    """Put the author's own copy into their Sent folder."""
    return Work(Task.FILE_AUTHOR_COPY, Queue.deposit(shard), {"message_id": message_id, "shard": shard})


def bounce(message_id: int) -> Work:
    """Tell a message's sender of addressees who closed before it was delivered."""
    return Work(Task.BOUNCE, Queue.DELIVERY, {"message_id": message_id})


def relay(message_id: int) -> Work:
    """Hand a message to the smarthost for its external recipients."""
    return Work(Task.RELAY, Queue.DELIVERY, {"message_id": message_id})


def forward(message_id: int, account_id: int) -> Work:
    """Pass a message on, as an account's forwarding rule wants it."""
    return Work(Task.FORWARD, Queue.DELIVERY, {"message_id": message_id, "account_id": account_id})


def plan(recall_id: int) -> Work:
    """Divide a recall into batches."""
    return Work(Task.PLAN, Queue.RECALL, {"recall_id": recall_id})


def withdraw(recall_id: int, batch: int, shard: int) -> Work:
    """Withdraw one batch's copies from their shard."""
    return Work(Task.WITHDRAW, Queue.withdraw(shard), {"recall_id": recall_id, "batch": batch, "shard": shard})


def settle(recall_id: int) -> Work:
    """Add up a recall whose batches are all done."""
    return Work(Task.SETTLE, Queue.RECALL, {"recall_id": recall_id})


def summarise(recall_id: int) -> Work:
    """Write the report mail of a settled recall."""
    return Work(Task.SUMMARISE, Queue.REPORTS, {"recall_id": recall_id})
