"""Withdrawing one batch of a message's copies from a shard: decided, deleted and written down in one transaction.

Each recipient of the batch ends with exactly one row in the outcome ledger (R9), whoever reads, deletes or delivers at
the same moment, and however often the task is run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import Connection

from mailrecall import logs
from mailrecall.domain.outcomes import BLOCKING_FACTS, Outcome, outcome_case_sql
from mailrecall.mailstore import duplicates
from mailrecall.mailstore.changes import Change, Kind, announce
from mailrecall.mailstore.deposit import ListedMessage, store_notice
from mailrecall.postgres import queries

log = logs.get(__name__)

_SLUG_CASE = "CASE outcome " + " ".join(f"WHEN {o.value} THEN '{o.slug}'" for o in Outcome) + " END"
_SQL = queries.load(
    __package__,
    "withdrawal.sql",
    {
        "BLOCKING": str(BLOCKING_FACTS.value),
        "RECALLED": str(Outcome.RECALLED.value),
        "EXTERNAL": str(Outcome.EXTERNAL.value),
        "UNREACHABLE": str(Outcome.UNREACHABLE.value),
        "OUTCOME_CASE": outcome_case_sql("facts"),
        "SLUG_CASE": _SLUG_CASE,
    },
)

Counts = Mapping[str, Mapping[str, int]]
"""By addressee (0: named directly), then by outcome."""


@dataclass(frozen=True, slots=True)
class Notice:
    """R17: what is left in a withdrawn copy's place, where the policy wants it."""

    message_id: int
    listed: ListedMessage
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A range of one shard's mailboxes that a message was delivered to."""

    recall_id: int
    batch: int
    message_id: int
    first: int
    last: int
    recipients: int
    out_of_scope: Sequence[int] = ()
    """R1: recipients in the range that are `external` by the policy."""
    notice: Notice | None = None


Recipients = Callable[[], tuple[Sequence[int], Sequence[int]]]
"""Gives the batch's mailbox ids and their addressees; asked for only when some recipient has no copy here."""


def withdraw(connection: Connection[Any], batch: Batch, recipients: Recipients, *, now: datetime) -> Counts:
    """Withdraw a batch in the caller's transaction, or return what an earlier run wrote.

    Args:
        connection: to the shard.
        batch: what to withdraw.
        recipients: tells who the batch's recipients are.
        now: the present moment.

    Returns:
        the counts of the outcomes of all the batch's recipients.
    """
    keys = _parameters(batch)
    if not connection.execute(_SQL["claim"], {**keys, "now": now}).rowcount:
        earlier = connection.execute(_SQL["counts"], keys).fetchone()
        if not connection.execute(_SQL["forget_unreachable"], keys).rowcount:
            counts: Counts = earlier[0] if earlier else {}
            return counts
    elif _came_before_delivery(connection, keys):
        mailbox_ids, via = recipients()
        _record(connection, keys, mailbox_ids, via, Outcome.RECALLED)
        return _sum_up(connection, keys)
    _withdraw_range(connection, keys, batch.first, batch.last)
    duplicates.withdraw_with_origins(connection, batch.recall_id, batch.batch, batch.message_id)
    announce(connection, Change(batch.message_id, batch.first, batch.last, Kind.WITHDRAWN))
    _account_for_all(connection, batch, keys, recipients)
    if batch.notice is not None:
        _leave_notices(connection, batch.notice, keys)
    return _sum_up(connection, keys)


def _came_before_delivery(connection: Connection[Any], keys: Mapping[str, object]) -> bool:
    if connection.execute(_SQL["claim_deposit"], keys).rowcount:
        return True
    return connection.execute(_SQL["deposit_knew"], keys).rowcount > 0


def _parameters(batch: Batch) -> dict[str, object]:
    return {
        "recall_id": batch.recall_id,
        "batch": batch.batch,
        "message_id": batch.message_id,
        "first": batch.first,
        "last": batch.last,
        "out_of_scope": list(batch.out_of_scope),
    }


def _withdraw_range(connection: Connection[Any], keys: Mapping[str, object], first: int, last: int) -> None:
    """Decide a range; where a row makes the statement fail, halve the range until that row stands alone."""
    try:
        with connection.transaction():
            _decide(connection, {**keys, "first": first, "last": last})
    except psycopg.OperationalError:
        raise  # the server, not a row: the whole task is tried again
    except psycopg.Error as error:
        if first == last:
            # left without an outcome here; `_account_for_all` writes it down as unreachable
            log.error("withdrawal.copy_failed", recall_id=keys["recall_id"], failure=type(error).__name__)
            return
        middle = (first + last) // 2
        _withdraw_range(connection, keys, first, middle)
        _withdraw_range(connection, keys, middle + 1, last)


def _decide(connection: Connection[Any], keys: Mapping[str, object]) -> None:
    if keys["out_of_scope"]:
        connection.execute(_SQL["leave_out_of_scope"], keys)
        connection.execute(_SQL["withdraw_in_scope"], keys)
    else:
        connection.execute(_SQL["withdraw"], keys)
    connection.execute(_SQL["classify_rest"], keys)


def _account_for_all(
    connection: Connection[Any], batch: Batch, keys: Mapping[str, object], recipients: Recipients
) -> None:
    """Give an outcome to recipients that have no copy here any more, or whose copy could not be decided."""
    row = connection.execute(_SQL["count_range"], keys).fetchone()
    if row is not None and row[0] == batch.recipients:
        return
    mailbox_ids, via = recipients()
    missing = connection.execute(
        _SQL["without_outcome"], {**keys, "mailbox_ids": list(mailbox_ids), "via": list(via)}
    ).fetchall()
    left = connection.execute(_SQL["still_here"], {**keys, "mailbox_ids": [m for m, _ in missing]}).fetchall()
    here = {mailbox_id for (mailbox_id,) in left}
    for outcome, group in (
        (Outcome.UNREACHABLE, [(m, v) for m, v in missing if m in here]),
        (Outcome.GONE, [(m, v) for m, v in missing if m not in here]),
    ):
        if group:
            _record(connection, keys, [m for m, _ in group], [v for _, v in group], outcome)


def _record(
    connection: Connection[Any],
    keys: Mapping[str, object],
    mailbox_ids: Sequence[int],
    via: Sequence[int],
    outcome: Outcome,
) -> None:
    connection.execute(
        _SQL["record_undelivered"],
        {**keys, "mailbox_ids": list(mailbox_ids), "via": list(via), "outcome": outcome.value},
    )


def _leave_notices(connection: Connection[Any], notice: Notice, keys: Mapping[str, object]) -> None:
    store_notice(connection, notice.message_id, notice.listed, notice.content)
    connection.execute(_SQL["leave_notices"], {**keys, "notice_id": notice.message_id})


def _sum_up(connection: Connection[Any], keys: Mapping[str, object]) -> Counts:
    row = connection.execute(_SQL["sum_up"], keys).fetchone()
    if row is None:
        raise AssertionError(f"the withdrawal of batch {keys['batch']} vanished inside its own transaction")
    counts: Counts = row[0]
    return counts
