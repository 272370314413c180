"""Withdrawing one batch of a message's copies from a shard: decided, deleted and written down in one transaction.

Each recipient of the batch ends with exactly one row in the outcome ledger (R9), whoever reads, deletes or delivers at
the same moment, and however often the task is run.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.types.json import Jsonb

from mailrecall import logs
from mailrecall.domain.outcomes import BLOCKING_FACTS, Outcome, outcome_case_sql
from mailrecall.mailstore import duplicates, preparation, residence
from mailrecall.mailstore.batch import Batch, Notice
from mailrecall.mailstore.changes import Change, Kind, announce
from mailrecall.mailstore.deposit import store_notice
from mailrecall.mailstore.membership import RangedStatements

log = logs.get(__name__)

SLUG_CASE = "CASE outcome " + " ".join(f"WHEN {o.value} THEN '{o.slug}'" for o in Outcome) + " END"
_STATEMENTS = RangedStatements(
    "withdrawal.sql",
    {
        "BLOCKING": str(BLOCKING_FACTS.value),
        "RECALLED": str(Outcome.RECALLED.value),
        "EXTERNAL": str(Outcome.EXTERNAL.value),
        "UNREACHABLE": str(Outcome.UNREACHABLE.value),
        "OUTCOME_CASE": outcome_case_sql("facts"),
        "RELEASED_CASE": outcome_case_sql("facts", otherwise=Outcome.VETOED),
        "SLUG_CASE": SLUG_CASE,
    },
)
_SQL = _STATEMENTS.bare

_Deciding = tuple[Mapping[str, bytes], str]
"""The statements that decide a range, and the name of the one for those who stay."""

_Counted = tuple[int, int, int]
"""An addressee, an outcome, and how many recipients have it."""

FIRST_ATTEMPT = 1

Counts = Mapping[str, Mapping[str, int]]
"""By addressee (0: named directly), then by outcome."""


Recipients = Callable[[], tuple[Sequence[int], Sequence[int]]]
"""Gives the batch's mailbox ids and their addressees; asked for only when some recipient has no copy here."""


def withdraw(connection: Connection[Any], batch: Batch, recipients: Recipients, *, now: datetime) -> Counts:
    """Withdraw a batch in the caller's transaction, or return what an earlier run wrote.

    Of an all-or-nothing recall only once that is decided (R13).

    Args:
        connection: to the shard.
        batch: what to withdraw.
        recipients: tells who the batch's recipients are.
        now: the present moment.

    Returns:
        the counts of the outcomes of all the batch's recipients.

    Raises:
        MailboxMovedError: a recipient's mailbox has left this shard.
    """
    deciding = _STATEMENTS.enter(connection, batch)
    if batch.all_or_nothing:
        preparation.lock(connection, batch, now=now)
    counts = _withdraw(connection, deciding, batch, recipients, now=now)
    # a copy that could not be deleted stays as it is, hidden from everybody, until it can be
    if batch.all_or_nothing and not any(Outcome.UNREACHABLE.slug in outcomes for outcomes in counts.values()):
        preparation.end(connection, batch.keys)
    return counts


def release(connection: Connection[Any], batch: Batch, recipients: Recipients, *, now: datetime) -> Counts | None:
    """R13: leave a batch's copies where they are because not all of them qualify, in the caller's transaction.

    Args:
        connection: to the shard.
        batch: what to leave.
        recipients: tells who the batch's recipients are.
        now: the present moment.

    Returns:
        the counts of the outcomes: `vetoed`, or each copy's own reason to stay; what an earlier run wrote; None when a
        later attempt has begun here.
    """
    keys = batch.keys
    deciding = _STATEMENTS.enter(connection, batch)
    if not preparation.lock(connection, batch, now=now):
        return None
    delivered = preparation.let_go(connection, batch)
    if not _claim(connection, keys, now=now):
        return _earlier(connection, keys)
    if delivered:
        connection.execute(deciding["classify_released"], keys)
        return _complete(connection, batch, recipients)
    mailbox_ids, via = recipients()
    residence.require_present(connection, mailbox_ids)
    _record(connection, keys, mailbox_ids, via, Outcome.VETOED)
    return _sum_up(connection, keys)


def let_go(connection: Connection[Any], batch: Batch, *, now: datetime) -> None:
    """R13: as `release`, for a batch whose outcomes were counted without its shard: nothing is written down."""
    _STATEMENTS.enter(connection, batch)
    if preparation.lock(connection, batch, now=now):
        preparation.let_go(connection, batch)


def _withdraw(
    connection: Connection[Any],
    deciding: Mapping[str, bytes],
    batch: Batch,
    recipients: Recipients,
    *,
    now: datetime,
) -> Counts:
    keys = batch.keys
    # only after an earlier run, or beside recipients out of scope, can an outcome stand there already
    rest = "classify_rest_beside_others" if batch.out_of_scope else "classify_rest"
    if not _claim(connection, keys, now=now):
        counts = _earlier(connection, keys)
        if not connection.execute(_SQL["forget_unreachable"], keys).rowcount:
            return counts
        rest = "classify_rest_beside_others"
    elif _came_before_delivery(connection, keys):
        mailbox_ids, via = recipients()
        residence.require_present(connection, mailbox_ids)
        _record(connection, keys, mailbox_ids, via, Outcome.RECALLED)
        return _sum_up(connection, keys)
    counts = _by_addressee(_withdraw_range(connection, (deciding, rest), keys, batch.first, batch.last))
    duplicates.withdraw_with_origins(connection, batch.recall_id, batch.batch, batch.message_id)
    announce(connection, Change(batch.message_id, batch.first, batch.last, Kind.WITHDRAWN))
    if batch.notice is not None:
        _leave_notices(connection, batch.notice, keys)
    if _recipients_in(counts) == batch.recipients:
        connection.execute(_SQL["write_counts"], {**keys, "counts": Jsonb(counts)})
        return counts
    return _complete(connection, batch, recipients)


def _complete(connection: Connection[Any], batch: Batch, recipients: Recipients) -> Counts:
    found = _sum_up(connection, batch.keys)
    if _recipients_in(found) == batch.recipients:
        return found
    _account_for_all(connection, batch.keys, recipients)
    return _sum_up(connection, batch.keys)


def _claim(connection: Connection[Any], keys: Mapping[str, object], *, now: datetime) -> bool:
    if not connection.execute(_SQL["claim"], {**keys, "now": now}).rowcount:
        return False
    if keys["attempt"] != FIRST_ATTEMPT:
        connection.execute(_SQL["forget_earlier_attempt"], keys)
    return True


def _earlier(connection: Connection[Any], keys: Mapping[str, object]) -> Counts:
    row = connection.execute(_SQL["counts"], keys).fetchone()
    return row[0] if row else {}


def _came_before_delivery(connection: Connection[Any], keys: Mapping[str, object]) -> bool:
    if connection.execute(_SQL["claim_deposit"], keys).rowcount:
        return True
    return connection.execute(_SQL["deposit_knew"], keys).rowcount > 0


def _withdraw_range(
    connection: Connection[Any], deciding: _Deciding, keys: Mapping[str, object], first: int, last: int
) -> list[_Counted]:
    """Decide a range; where a row makes the statement fail, halve the range until that row stands alone."""
    try:
        with connection.transaction():
            return _decide(connection, deciding, {**keys, "first": first, "last": last})
    except psycopg.OperationalError:
        raise  # the server, not a row: the whole task is tried again
    except psycopg.Error as error:
        if first == last:
            # left without an outcome here; `_account_for_all` writes it down as unreachable
            log.error("withdrawal.copy_failed", recall_id=keys["recall_id"], failure=type(error).__name__)
            return []
        middle = (first + last) // 2
        return [
            *_withdraw_range(connection, deciding, keys, first, middle),
            *_withdraw_range(connection, deciding, keys, middle + 1, last),
        ]


def _decide(connection: Connection[Any], deciding: _Deciding, keys: Mapping[str, object]) -> list[_Counted]:
    """Decide a range; returns what was counted. Statements for rarer cases count nothing: the ledger tells."""
    statements, rest = deciding
    counted: list[_Counted] = []
    if keys["out_of_scope"]:
        connection.execute(_SQL["leave_out_of_scope"], keys)
        connection.execute(statements["withdraw_in_scope"], keys)
    else:
        counted += connection.execute(statements["withdraw"], keys)
    found = connection.execute(statements[rest], keys)
    return counted if found.description is None else [*counted, *found]


def _by_addressee(counted: Iterable[_Counted]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for via, outcome, recipients in counted:
        outcomes, slug = counts.setdefault(str(via), {}), Outcome(outcome).slug
        outcomes[slug] = outcomes.get(slug, 0) + recipients
    return counts


def _recipients_in(counts: Counts) -> int:
    return sum(sum(outcomes.values()) for outcomes in counts.values())


def _account_for_all(connection: Connection[Any], keys: Mapping[str, object], recipients: Recipients) -> None:
    """Give an outcome to recipients that have no copy here any more, or whose copy could not be decided."""
    mailbox_ids, via = recipients()
    missing = connection.execute(
        _SQL["without_outcome"], {**keys, "mailbox_ids": list(mailbox_ids), "via": list(via)}
    ).fetchall()
    residence.require_present(connection, [mailbox_id for mailbox_id, _ in missing])
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
