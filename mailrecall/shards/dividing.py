"""Dividing batches on the control database: who moved goes on in a batch of their own, in whatever state that is.

A batch is a range of one shard's mailboxes, for a delivery and for a recall alike; it stays so. What was deposited,
withdrawn, counted or given up of the old batch was so of each of its mailboxes, and is so of the new one.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.policy import Policy
from mailrecall.mailstore.withdrawal import Counts
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.outbox.work import Work
from mailrecall.postgres import queries
from mailrecall.recalls import all_or_nothing
from mailrecall.recalls.progress import GIVEN_UP

_SQL = queries.load(__package__, "dividing.sql")


@dataclass(frozen=True, slots=True)
class Division:
    """Some mailboxes of a batch go on as another batch, on another shard."""

    message_id: int
    batch: int
    new_batch: int
    shard: int
    """The new batch's."""
    mailbox_ids: Sequence[int]


CountsOf = Callable[[int, int], Counts | None]
"""Gives what a shard's ledger counts for a recall's new batch, by recall and batch; None when it has nothing of it."""


def divide(connection: Connection[Any], divisions: Sequence[Division], counts_of: CountsOf, *, now: datetime) -> None:
    """Divide batches in the caller's control transaction, which keeps everybody else from the placement.

    Args:
        connection: to the control database.
        divisions: how.
        counts_of: asked for new batches of what a shard has withdrawn and the control database has counted.
        now: when the new batches' work is due.
    """
    if not divisions:
        return
    connection.execute(_SQL["make_list"])
    with connection.cursor() as cursor, cursor.copy(_SQL["fill_list"]) as copy:
        for one in divisions:
            for mailbox_id in one.mailbox_ids:
                copy.write_row((one.message_id, one.batch, one.new_batch, one.shard, mailbox_id))
    connection.execute(_SQL["look_at_list"])
    # batches before messages, as the record of a deposit has them, and messages before recalls, as everybody locks them
    connection.execute(_SQL["lock_batches"])
    due = set(connection.execute(_SQL["deposits_due"]).fetchall())
    connection.execute(_SQL["lock_messages"], {"message_ids": sorted({message_id for message_id, _ in due})})
    connection.execute(_SQL["lock_recalls"])
    connection.execute(_SQL["new_batches"])
    connection.execute(_SQL["shrink_batches"])
    emptied = set(connection.execute(_SQL["emptied"]).fetchall())
    todo = [*_divide_undos(connection), *_divide_recalls(connection, counts_of, emptied)]
    more: dict[int, int] = {}
    for one in divisions:
        if (one.message_id, one.batch) in due:
            todo.append(work.deposit(one.message_id, one.new_batch, one.shard))
            more[one.message_id] = more.get(one.message_id, 0) + 1
    for message_id, batch in sorted(emptied):
        connection.execute(_SQL["drop_emptied"], {"message_id": message_id, "batch": batch})
        if (message_id, batch) in due:
            more[message_id] -= 1
    for message_id in sorted(more):
        connection.execute(_SQL["count_deliveries"], {"message_id": message_id, "more": more[message_id]})
    outbox.add(connection, todo, due_at=now)


def place(connection: Connection[Any], mailbox_ids: Sequence[int], shard: int) -> None:
    """Say where mailboxes are from now on."""
    connection.execute(_SQL["place"], {"mailbox_ids": list(mailbox_ids), "shard": shard})


def less(counts: Counts, moved: Counts) -> Counts:
    """Subtract counts from counts, leaving out what comes to nothing."""
    left = {
        via: {outcome: rest for outcome, n in outcomes.items() if (rest := n - moved.get(via, {}).get(outcome, 0))}
        for via, outcomes in counts.items()
    }
    return {via: outcomes for via, outcomes in left.items() if outcomes}


def _divide_undos(connection: Connection[Any]) -> list[Work]:
    """R26: an undo under way has the new batches to put back too."""
    new = connection.execute(_SQL["new_undo_batches"]).fetchall()
    more = Counter(recall_id for recall_id, _, _ in new)
    more.subtract(recall_id for (recall_id,) in connection.execute(_SQL["drop_emptied_undo_batches"]).fetchall())
    for recall_id, batches in sorted(more.items()):
        connection.execute(_SQL["count_undo_batches"], {"recall_id": recall_id, "more": batches})
    return [work.restore(*batch) for batch in sorted(new)]


def _divide_recalls(
    connection: Connection[Any], counts_of: CountsOf, emptied: Collection[tuple[int, int]]
) -> list[Work]:
    todo: list[Work] = []
    rows = connection.execute(_SQL["recall_batches"]).fetchall()
    for recall_id, message_id, batch, state, counts, policy, new_batches in rows:
        keys = {"recall_id": recall_id, "message_id": message_id, "batch": batch}
        shares: dict[int, Counts | None] = {}
        if counts is not None and state in GIVEN_UP:
            for one in (batch, *new_batches):
                shares[one] = _count_given_up(connection, {**keys, "batch": one}, state, counts, policy)
        elif counts is not None:
            keeper = min(new_batches) if (message_id, batch) in emptied else batch
            shares |= _share(counts, keeper, {new: counts_of(recall_id, new) or {} for new in new_batches})
        for new_batch in new_batches:
            its_own = {**keys, "new_batch": new_batch, "counts": _json(shares.get(new_batch))}
            row = connection.execute(_SQL["new_recall_batch"], its_own).fetchone()
            if row is None:
                raise AssertionError("a batch vanished inside the transaction that divides it")
            # what is pending waits for its shard; what was assumed still wants the shard's word
            if state not in ("done", "unreachable"):
                undecided = all_or_nothing.is_undecided(connection, recall_id)
                todo.append((work.prepare if undecided else work.withdraw)(recall_id, new_batch, row[0]))
        if state not in ("done", *GIVEN_UP):
            more = len(new_batches) - ((message_id, batch) in emptied)
            connection.execute(_SQL["count_batches"], {"recall_id": recall_id, "more": more})
        connection.execute(_SQL["shrink_recall_batch"], {**keys, "counts": _json(shares.get(batch))})
    return todo


def _share(counts: Counts, keeper: int, new: Mapping[int, Counts]) -> dict[int, Counts]:
    """Divide what a batch counts, so that it comes to the same (R9).

    The ledger tells who moved, and is gone once the recall is purged (R26), in part under a legal hold. What it says
    nothing of stays together with the batch that keeps the rest: the old one, or a new one if nobody is left in that.
    """
    others = {batch: share for batch, share in new.items() if batch != keeper}
    return {**others, keeper: reduce(less, others.values(), counts)}


def _json(counts: Counts | None) -> Jsonb | None:
    return None if counts is None else Jsonb(counts)


def _count_given_up(
    connection: Connection[Any], keys: Mapping[str, Any], state: str, counts: Counts, policy: Mapping[str, object]
) -> Counts:
    """Return what a divided batch that was given up, or what is left of it, counts: by its recipients."""
    furthest = Policy.from_mapping(policy).furthest_in_scope.value
    vetoed = any(Outcome.VETOED.slug in outcomes for outcomes in counts.values())
    outcome = "unreachable" if state == "unreachable" else Outcome.VETOED.slug if vetoed else Outcome.RECALLED.slug
    row = connection.execute(_SQL["count_given_up"], {**keys, "furthest": furthest, "outcome": outcome}).fetchone()
    found: Counts = row[0] if row else {}
    return found
