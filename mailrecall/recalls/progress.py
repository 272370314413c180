"""The states of a recall and its batches, moved on by the recall service, always in the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from mailrecall.audit import trail
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Result, State, Verdict, result_of
from mailrecall.domain.trail import SYSTEM, Entry, Event
from mailrecall.mailstore.batch import Batch, Notice
from mailrecall.mailstore.residence import MailboxMovedError
from mailrecall.mailstore.withdrawal import Counts
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.outbox.work import Work
from mailrecall.postgres import clocks, queries
from mailrecall.recalls import all_or_nothing, lanes
from mailrecall.recalls.views import RecallView, get

_SQL = queries.load(__package__, "recalls.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBatch:
    """What one withdrawal has to know."""

    message_id: int
    policy: Policy
    notice_message_id: int | None
    requested_at: datetime
    deadline_at: datetime
    attempt: int
    verdict: Verdict | None
    """R13: how an all-or-nothing recall was decided, if it was."""
    state: str
    recipients: int
    first: int
    last: int
    waits_for_undo: bool
    """R26: an earlier recall's copies are not back yet, as after a restoration of backups alone (docs/backup.md)."""
    out_of_scope: Sequence[int]

    def as_batch(self, recall_id: int, number: int, notice: Notice | None = None) -> Batch:
        """Return the batch as its shard is told of it."""
        return Batch(
            recall_id=recall_id,
            batch=number,
            message_id=self.message_id,
            first=self.first,
            last=self.last,
            recipients=self.recipients,
            out_of_scope=self.out_of_scope,
            notice=notice,
            attempt=self.attempt,
            all_or_nothing=self.policy.all_or_nothing,
        )


UNTIL_UNDONE = timedelta(seconds=2)
"""How long what waits for an undo is put off."""

GIVEN_UP = ("unreachable", "assumed")
"""States of a batch whose shard did not answer by the deadline; `assumed` is still to be withdrawn (R16)."""


def message_of(connection: Connection[Any], recall_id: int) -> int:
    """Return a recall's message.

    Raises:
        LookupError: there is no such recall.
    """
    row = connection.execute(_SQL["message_of_recall"], {"recall_id": recall_id}).fetchone()
    if row is None:
        raise LookupError(f"There is no recall {recall_id}.")
    message_id: int = row[0]
    return message_id


def policy_of(connection: Connection[Any], recall_id: int) -> Policy | None:
    """Return the switches that a recall goes by, as they were when it was judged; None when there is no such recall."""
    row = connection.execute(_SQL["recall_policy"], {"recall_id": recall_id}).fetchone()
    return Policy.from_mapping(row[0]) if row else None


def lock_for_plan(connection: Connection[Any], recall_id: int) -> tuple[int, State] | None:
    """Return a recall's message and state, locked until the transaction ends; None when there is no such recall."""
    row = connection.execute(_SQL["lock_for_plan"], {"recall_id": recall_id}).fetchone()
    return (row[1], State(row[2])) if row else None


def plan(connection: Connection[Any], recall_id: int, message_id: int, *, now: datetime) -> int:
    """Write a recall's batches, one for each delivery batch of its message, with the work of withdrawing them.

    Returns:
        how many batches there are.
    """
    keys = {"recall_id": recall_id, "message_id": message_id}
    connection.execute(_SQL["plan_batches"], keys)
    row = connection.execute(_SQL["start_running"], keys).fetchone()
    batches: int = row[0] if row else 0
    all_or_nothing.decide_what_was_never_sent(connection, recall_id, now=now)
    outbox.add(connection, work_left(connection, recall_id), due_at=now)
    return batches


def batch_to_withdraw(connection: Connection[Any], recall_id: int, batch: int) -> PlannedBatch | None:
    """Return a batch, or None when there is no such batch."""
    policy = policy_of(connection, recall_id)
    if policy is None:
        return None
    parameters = {"recall_id": recall_id, "batch": batch, "furthest": policy.furthest_in_scope.value}
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_SQL["batch_to_withdraw"], parameters).fetchone()
    if found is None:
        return None
    verdict = Verdict(found["verdict"]) if found["verdict"] else None
    return PlannedBatch(**{**found, "policy": policy, "verdict": verdict, "out_of_scope": found["out_of_scope"] or ()})


def author_address(connection: Connection[Any], message_id: int) -> str:
    """Return the address a message was sent from."""
    row = connection.execute(_SQL["author_address"], {"message_id": message_id}).fetchone()
    if row is None:
        raise LookupError(f"There is no message {message_id}.")
    address: str = row[0]
    return address


def recipients_of_batch(connection: Connection[Any], recall_id: int, batch: int) -> tuple[list[int], list[int]]:
    """Return a batch's mailboxes and, for each, the addressee that led there."""
    row = connection.execute(_SQL["recipients_of_batch"], {"recall_id": recall_id, "batch": batch}).fetchone()
    if row is None:
        raise LookupError(f"Recall {recall_id} has no batch {batch}.")
    return row[0], row[1]


def record_batch(
    connection: Connection[Any], recall_id: int, batch: int, counts: Counts, *, attempt: int, now: datetime
) -> bool:
    """Record a batch's counts; a second time changes nothing.

    A batch that was given up, and whose shard answered after all, is corrected: what the shard committed is the truth.
    So is one whose copies failed in part, when another run of its work took more of them.

    Args:
        connection: to the control database, in the caller's transaction.
        recall_id: the recall.
        batch: the number of the batch.
        counts: what the shard committed.
        attempt: which try of an all-or-nothing recall (R13) that was of.
        now: the present moment.

    Returns:
        whether it was the last: the caller settles the recall, in the same transaction.

    Raises:
        MailboxMovedError: the batch was divided since the shard counted.
    """
    if not counts:
        # R26: an undo took the place of a withdrawal that was given up; what was said of the batch stays
        return False
    locked = connection.execute(_SQL["lock_recall"], {"recall_id": recall_id}).fetchone()
    parameters = {"recall_id": recall_id, "batch": batch, "counts": Jsonb(counts), "attempt": attempt, "now": now}
    row = connection.execute(_SQL["batch_done"], parameters).fetchone()
    if row is None or locked is None or not row[1]:
        return False
    if counts and row[2] != sum(n for outcomes in counts.values() for n in outcomes.values()):
        # mailboxes moved after the shard had counted them: it has corrected its counts since; none: an undo came first
        raise MailboxMovedError
    if row[0] != "pending":
        correct(connection, recall_id, now=now)
        return False
    left = connection.execute(_SQL["batches_left"], {"recall_id": recall_id, "done": 1}).fetchone()
    return left is not None and left[0] == 0


def settle(connection: Connection[Any], recall_id: int, *, now: datetime) -> RecallView | None:
    """Settle a recall whose batches are all done, with the work of reporting it.

    Returns:
        the recall with what it came to, or None when it is not to be settled (again).
    """
    connection.execute(_SQL["lock_recall"], {"recall_id": recall_id})
    view = get(connection, recall_id)
    if view is None:
        return None
    # R26: the retention is counted from here
    settled_at = clocks.later(connection, now)
    parameters = {"recall_id": recall_id, "result": result_of(view.tally), "now": settled_at}
    if not connection.execute(_SQL["settle"], parameters).rowcount:
        return None
    outbox.add(connection, [work.summarise(recall_id)], due_at=now)
    _record_counts(connection, Event.RECALL_SETTLED, view, now=now)
    return view


def correct(connection: Connection[Any], recall_id: int, *, now: datetime) -> None:
    """Judge a settled recall's result again after one of its batches was corrected."""
    view = get(connection, recall_id)
    if view is not None and view.state is State.SETTLED:
        result: Result = result_of(view.tally)
        connection.execute(_SQL["correct_result"], {"recall_id": recall_id, "result": result})
        _record_counts(connection, Event.RECALL_CORRECTED, view, now=now)


def _record_counts(connection: Connection[Any], event: Event, view: RecallView, *, now: datetime) -> None:
    """R27: how many copies ended how, and nobody's name (R23)."""
    details = {"result": result_of(view.tally).value, "outcomes": view.tally.as_slugs()}
    trail.append(connection, _entry(event, view, details), now=now)


def _entry(event: Event, view: RecallView, details: Mapping[str, object]) -> Entry:
    return Entry(
        organisation_id=view.organisation_id,
        event=event,
        actor=SYSTEM,
        recall_id=view.id,
        message_id=view.message_id,
        details=details,
    )


def overdue(connection: Connection[Any], *, answer_by: datetime) -> list[int]:
    """Return running recalls whose deadline lies before `answer_by`."""
    return [row[0] for row in connection.execute(_SQL["overdue"], {"answer_by": answer_by}).fetchall()]


def give_up(connection: Connection[Any], recall_id: int, *, now: datetime) -> int:
    """R9: count what no shard answered for as unreachable, or as recalled where it was not delivered either (R16).

    Returns:
        how many batches were given up; the last of a recall's batches sets off the settlement.
    """
    locked = lock_for_plan(connection, recall_id)
    switches = policy_of(connection, recall_id)
    if locked is None or switches is None or locked[1] is not State.RUNNING:
        return 0
    furthest = switches.furthest_in_scope.value
    keys = {"recall_id": recall_id, "message_id": locked[0], "furthest": furthest, "now": now}
    if switches.all_or_nothing:
        given_up = all_or_nothing.give_up(connection, recall_id, keys, now=now)
    else:
        given_up = connection.execute(_SQL["give_up_batches"], keys).rowcount
        connection.execute(_SQL["close_withdrawals"], keys)
    if given_up:
        left = connection.execute(_SQL["batches_left"], {"recall_id": recall_id, "done": given_up}).fetchone()
        if left is not None and left[0] == 0:
            outbox.add(connection, [work.settle(recall_id)], due_at=now)
        if (view := get(connection, recall_id)) is not None:
            trail.append(connection, _entry(Event.SHARDS_GIVEN_UP, view, {"batches": given_up}), now=now)
    return given_up


def work_left(connection: Connection[Any], recall_id: int) -> list[Work]:
    """Return the work that moves a running recall on."""
    pending = connection.execute(_SQL["pending_batches"], {"recall_id": recall_id}).fetchall()
    # R13: all or nothing is prepared everywhere before anything is withdrawn
    todo = work.prepare if all_or_nothing.is_undecided(connection, recall_id) else work.withdraw
    small = lanes.is_small(connection, recall_id)
    return [todo(recall_id, batch, shard, small=small) for batch, shard in pending] or [work.settle(recall_id)]


def stuck(connection: Connection[Any], *, before: datetime) -> list[tuple[int, State]]:
    """Return recalls asked for before a moment that have no work left to move them on; there should be none."""
    rows = connection.execute(_SQL["stuck"], {"before": before}).fetchall()
    return [(row[0], State(row[1])) for row in rows]
