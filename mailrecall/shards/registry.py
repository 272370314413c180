"""The shards that there are, what they hold, and how one comes and goes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from mailrecall import logs
from mailrecall.directory import organisations, placement
from mailrecall.mailstore.residence import MailboxMovedError
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases
from mailrecall.postgres.migrations import migrate
from mailrecall.settings import Settings
from mailrecall.shards.carrying import UndecidedError
from mailrecall.shards.errors import ShardError
from mailrecall.shards.moving import Mover, mend

log = logs.get(__name__)

_SQL = queries.load(__package__, "registry.sql")

MOST_COPIES = 20_000
"""Copies that are moved at once, about: it bounds how long their owners wait."""

_TRIES = 30
"""How often a move is tried whose mailboxes are in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A shard as the control database knows it."""

    number: int
    takes_new: bool
    mailboxes: int
    closed_mailboxes: int
    waiting: int
    """Deposits and withdrawals that are still to be done there."""
    configured: bool
    """Whether this process's settings have it."""
    answers: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a move has got."""

    moved: int
    total: int


def all_shards(databases: Databases) -> list[Shard]:
    """Return every shard; those that do not answer say so."""
    with databases.control() as control:
        rows = control.execute(_SQL["shards"]).fetchall()
    return [
        Shard(
            number=number,
            takes_new=takes_new,
            mailboxes=mailboxes,
            closed_mailboxes=closed,
            waiting=waiting,
            configured=number in databases.shards,
            answers=_answers(databases, number),
        )
        for number, takes_new, mailboxes, closed, waiting in rows
    ]


def add(settings: Settings, databases: Databases, number: int) -> int:
    """Open a shard of the settings for mailboxes, after bringing it to the present schema.

    Returns:
        how many migrations were applied to it.

    Raises:
        ShardError: the settings have no such shard.
    """
    _check_configured(settings, number)
    applied = migrate(settings.shard_urls[number], "shard")
    with databases.control() as control:
        organisations.lock(control)
        control.execute(_SQL["register"], {"shard": number})
    log.info("shards.opened", shard=number, migrations=applied)
    return applied


def close(settings: Settings, databases: Databases, number: int) -> None:
    """Let a shard take no new mailboxes from now on.

    Raises:
        ShardError: there is no such shard, or no other one takes new mailboxes.
    """
    _check_configured(settings, number)
    with databases.control() as control:
        organisations.lock(control)  # who places a mailbox has this lock: none is on its way to this shard
        if control.execute(_SQL["lock_shard"], {"shard": number}).fetchone() is None:
            raise ShardError(f"Shard {number} is not known yet; there is nothing to drain.")
        row = control.execute(_SQL["others_open"], {"shard": number}).fetchone()
        if row is None or not row[0]:
            raise ShardError("No other shard takes new mailboxes; open one with `mailrecall shards add` first.")
        control.execute(_SQL["close"], {"shard": number})
    log.info("shards.closed", shard=number)


def relocate(
    databases: Databases,
    mover: Mover,
    source: int,
    targets: Sequence[int],
    *,
    at_once: int,
    most: int | None,
    pause: Callable[[float], object],
    now: Callable[[], datetime],
) -> Iterator[Progress]:
    """Move mailboxes off a shard, some at a time, evenly to others; yields after each.

    Args:
        databases: the process's databases.
        mover: the process's right to move.
        source: the shard that they leave.
        targets: the shards that they go to.
        at_once: mailboxes that are moved together.
        most: how many to move; None: all.
        pause: waits for so many seconds, when mailboxes are in use.
        now: tells the time.

    Raises:
        ShardError: some mailboxes are in use without end.
    """
    with databases.control() as control:
        row = control.execute(_SQL["count_mailboxes"], {"shard": source}).fetchone()
    total = min(row[0] if row else 0, most if most is not None else 2**31)
    sent = dict.fromkeys(targets, 0)
    moved = 0
    while moved < total and (some := _next(databases, source, min(at_once, total - moved))):
        target = min(targets, key=lambda shard: sent[shard])
        _move_patiently(mover, source, target, some, pause=pause, now=now)
        sent[target] += len(some)
        moved += len(some)
        yield Progress(moved, max(moved, total))


def move_some(
    mover: Mover,
    source: int,
    target: int,
    mailbox_ids: Sequence[int],
    *,
    pause: Callable[[float], object],
    now: Callable[[], datetime],
) -> None:
    """Move mailboxes that are named, as `relocate` does."""
    _move_patiently(mover, source, target, mailbox_ids, pause=pause, now=now)


def sweep(databases: Databases, source: int, *, now: datetime) -> int:
    """Divide what batches a drained shard has left, none of whose members it held anything of; return how many."""
    swept, after = 0, (0, 0)
    while True:
        keys = {"shard": source, "message_id": after[0], "batch": after[1], "limit": 1000}
        with databases.control() as control:
            rows = control.execute(_SQL["left_behind"], keys).fetchall()
        if not rows:
            return swept
        swept += sum(mend(databases, message_id, batch, now=now) for message_id, batch in rows)
        after = rows[-1]


def check_empty(databases: Databases, number: int) -> None:
    """Make sure that a shard can be taken out of the settings.

    Raises:
        ShardError: it is still in use; the message says by what.
    """
    with databases.control() as control:
        placement.hold_still(control)
        row = control.execute(_SQL["in_use"], {"shard": number}).fetchone()
        open_shard = control.execute(_SQL["lock_shard"], {"shard": number}).fetchone()
    mailboxes, work, recalls = row or (0, 0, 0)
    if open_shard is not None and open_shard[0]:
        raise ShardError(f"Shard {number} takes new mailboxes; drain it first.")
    if mailboxes or work or recalls:
        raise ShardError(
            f"Shard {number} is still in use: {mailboxes} mailboxes, {work} tasks, {recalls} batches of recalls that"
            " are not reported yet. Drain it, and wait until its work is done."
        )
    with databases.control() as control:
        left = control.execute(_SQL["leaves_some_behind"], {"shard": number}).fetchone()
    if left is not None and left[0]:
        raise ShardError(
            f"Shard {number} has batches of mail left whose mailboxes are elsewhere: a drain was interrupted near its"
            f" end. Start `mailrecall shards drain {number}` again."
        )


def _move_patiently(
    mover: Mover,
    source: int,
    target: int,
    mailbox_ids: Sequence[int],
    *,
    pause: Callable[[float], object],
    now: Callable[[], datetime],
) -> None:
    for attempt in range(_TRIES):
        try:
            mover.move(source, target, mailbox_ids, now=now())
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, UndecidedError):
            pause(min(5.0, 0.2 * 2**attempt))
        except MailboxMovedError:
            if not attempt:
                raise
            return  # a try before had got so far that it was completed
        else:
            return
    raise ShardError(
        f"Mailboxes {mailbox_ids[0]} to {mailbox_ids[-1]} could not be had in {_TRIES} tries: something on shard"
        f" {source} or {target}, a report or an all-or-nothing recall uses them for longer than a few seconds. Look at"
        " pg_stat_activity, then begin again."
    )


def _next(databases: Databases, source: int, limit: int) -> list[int]:
    """Return the next mailboxes of a shard, fewer where they hold much."""
    with databases.control() as control:
        rows = control.execute(_SQL["next_mailboxes"], {"shard": source, "after": 0, "limit": limit}).fetchall()
    mailbox_ids = [mailbox_id for (mailbox_id,) in rows]
    with databases.shard(source) as connection:
        copies = dict(connection.execute(_SQL["copies"], {"mailbox_ids": mailbox_ids}).fetchall())
    chosen: list[int] = []
    load = 0
    for mailbox_id in mailbox_ids:
        load += copies.get(mailbox_id, 0)
        if chosen and load > MOST_COPIES:
            break
        chosen.append(mailbox_id)
    return chosen


def _check_configured(settings: Settings, number: int) -> None:
    if number not in settings.shard_numbers:
        raise ShardError(
            f"There is no shard {number} in MAILRECALL_SHARD_URLS, which has {len(settings.shard_numbers)}: put its URL"
            " at the end of that list, restart every process with it, then add the shard."
        )


def _answers(databases: Databases, number: int) -> bool:
    try:
        with databases.shard(number) as connection:
            connection.execute("SELECT 1")
    except (psycopg.OperationalError, LookupError):
        return False
    return True
