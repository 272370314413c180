"""Bringing a restored control database and restored shards together, before anybody is let in (docs/backup.md).

What the control database knows to be done, and a shard has forgotten, is done again: copies that were recalled and are
back go once more, what an undo had put back comes back, mail that had arrived arrives. What a shard knows and the
control database has forgotten cannot be known again from the shard alone, and is said: messages, recalls, undos. But
for the decision of a recall of all or nothing (R13), of which a shard knows enough to have the others do the same.
No number that a shard has seen is given out a second time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mailrecall import logs
from mailrecall.backups.deciding import decide_again, prepare_again
from mailrecall.domain.batches import FIRST_MOVED
from mailrecall.mailstore import preparation
from mailrecall.mailstore.batch import Batch
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases
from mailrecall.shards.errors import ShardError

log = logs.get(__name__)

_SQL = queries.load(__package__, "reconciling.sql", {"FIRST_MOVED": str(FIRST_MOVED)})

_PAGE = 5000


@dataclass(slots=True)
class Findings:
    """What the databases said differently, and what was done about it."""

    deposited_again: int = 0
    """Batches of mail that a shard had forgotten, and gets again."""
    filed_again: int = 0
    """Authors' copies, likewise."""
    withdrawn_again: int = 0
    """Batches of recalls that a shard had forgotten: their copies were back, and go again."""
    restored_again: int = 0
    """Batches of undos that a shard had forgotten: their copies were gone, and come back (R26)."""
    decided_again: int = 0
    """Recalls whose decision (R13) the control database had forgotten, and a shard has carried out."""
    prepared_again: int = 0
    """Batches of such recalls that nobody has decided: their shards are asked once more whether all copies qualify."""
    let_go: int = 0
    """Batches that were prepared on a shard for a decision (R13) that the control database cannot come to any more."""
    lost_messages: set[int] = field(default_factory=set)
    """Messages that a shard had forgotten and whose content is nowhere any more."""
    unknown_messages: set[int] = field(default_factory=set)
    """Messages on shards that the control database has forgotten: they can be read, and not recalled."""
    unknown_recalls: set[int] = field(default_factory=set)
    """Recalls that shards carried out and the control database has forgotten: their copies are gone."""
    unknown_undos: set[int] = field(default_factory=set)
    """Recalls that shards have undone (R26) and the control database has not: copies are back, at least in part."""


def reconcile(databases: Databases, *, since: datetime, deadline: timedelta, now: datetime) -> Findings:
    """Reconcile all databases; the services are stopped. A second time finds nothing more to do.

    Args:
        databases: control and shards, restored and migrated.
        since: what was done before that moment is taken to be in all backups.
        deadline: how long shards have for recalls that run again (R9).
        now: the present moment.

    Raises:
        ShardError: backups from before and after a move of mailboxes cannot be brought together.
    """
    for shard in databases.shards:
        _check_moves(databases, shard)
    _use_no_number_twice(databases)
    # before anything is let go: what waits for a decision that another shard has carried out is to go along
    found = Findings(decided_again=decide_again(databases, since=since, deadline=deadline, now=now))
    found.prepared_again = prepare_again(databases, deadline=deadline, now=now)
    for shard in databases.shards:
        # first: a deposit that was claimed is free again
        found.let_go += _let_go(databases, shard)
        for message_id, batch in _forgotten(databases, shard, "deposited", "without_deposit", since):
            if _again(databases, found, message_id, now=now, deposit=(batch, shard)):
                found.deposited_again += 1
        for message_id, _ in _forgotten(databases, shard, "filed", "without_author_copy", since):
            if _again(databases, found, message_id, now=now, author_copy_on=shard):
                found.filed_again += 1
        for recall_id, batch in _forgotten(databases, shard, "withdrawn", "without_withdrawal", since):
            _withdraw_again(databases, recall_id, batch, shard, deadline_at=now + deadline, now=now)
            found.withdrawn_again += 1
        for recall_id, batch in _forgotten(databases, shard, "being_undone", "still_prepared", since):
            _withdraw_again(databases, recall_id, batch, shard, deadline_at=now + deadline, now=now)
            found.withdrawn_again += 1
        for recall_id, batch in _forgotten(databases, shard, "undone", "without_restoration", since):
            later = _restore_again(databases, recall_id, batch, shard, deadline_at=now + deadline, now=now)
            found.withdrawn_again += later
            found.restored_again += 1
        found.unknown_messages |= set(_unknown(databases, shard, "deposited_here", "known_messages"))
        found.unknown_recalls |= set(_unknown(databases, shard, "withdrawn_here", "known_recalls"))
        found.unknown_undos |= set(_unknown(databases, shard, "restored_here", "known_undos"))
    log.info(
        "backups.reconciled",
        deposited_again=found.deposited_again,
        filed_again=found.filed_again,
        withdrawn_again=found.withdrawn_again,
        restored_again=found.restored_again,
        decided_again=found.decided_again,
        prepared_again=found.prepared_again,
        let_go=found.let_go,
        lost=len(found.lost_messages),
        unknown_messages=len(found.unknown_messages),
        unknown_recalls=len(found.unknown_recalls),
        unknown_undos=len(found.unknown_undos),
    )
    return found


def _check_moves(databases: Databases, shard: int) -> None:
    with databases.control() as control:
        completed, begun = control.execute(_SQL["last_moves"], {"shard": shard}).fetchall()[0]
    with databases.shard(shard) as connection:
        known = connection.execute(_SQL["numbers"]).fetchall()[0][3]
    if known < completed:
        raise ShardError(
            f"Shard {shard} was restored to a moment before move {completed}, which the control database knows to be"
            " done: restore the shard to a later moment, or the control database and all shards to an earlier one."
        )
    if known > begun:
        raise ShardError(
            f"Shard {shard} took part in move {known}, which the control database does not know of: restore the control"
            " database to a later moment, or the shards to an earlier one."
        )


def _use_no_number_twice(databases: Databases) -> None:
    names = ("message_id", "recall_id", "mailbox_id", "move_id", "batch")
    highest = dict.fromkeys(names, 0)
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            row = connection.execute(_SQL["numbers"]).fetchall()[0]
        highest = {name: max(highest[name], number) for name, number in zip(names, row, strict=True)}
    with databases.control() as control:
        control.execute(_SQL["use_no_number_twice"], highest)


def _let_go(databases: Databases, shard: int) -> int:
    """R13: let go on a shard of what was prepared for what the control database has forgotten, or has given up."""
    let_go, after = 0, (0, 0)
    while True:
        with databases.shard(shard) as connection:
            keys = {"after": after[0], "after_batch": after[1], "limit": _PAGE}
            rows = connection.execute(_SQL["prepared_here"], keys).fetchall()
        if not rows:
            return let_go
        ids, batches, attempts, *_ = (list(column) for column in zip(*rows, strict=True))
        with databases.control() as control:
            waited_for = set(
                control.execute(_SQL["waited_for"], {"ids": ids, "batches": batches, "attempts": attempts}).fetchall()
            )
        with databases.shard(shard) as connection:
            for recall_id, batch, attempt, message_id, first, last in rows:
                if (recall_id, batch) not in waited_for:
                    held = Batch(
                        recall_id=recall_id,
                        batch=batch,
                        attempt=attempt,
                        message_id=message_id,
                        first=first,
                        last=last,
                        recipients=0,
                        all_or_nothing=True,
                    )
                    preparation.let_go(connection, held)
                    let_go += 1
        after = (ids[-1], batches[-1])


def _forgotten(databases: Databases, shard: int, done: str, without: str, since: datetime) -> Iterator[tuple[int, int]]:
    """Go through what the control database knows to be done on a shard, and the shard does not."""
    after = (0, 0)
    while True:
        keys = {"shard": shard, "since": since, "after": after[0], "after_batch": after[1], "limit": _PAGE}
        with databases.control() as control:
            rows = control.execute(_SQL[done], keys).fetchall()
        if not rows:
            return
        columns = [list(column) for column in zip(*rows, strict=True)]
        lists = dict(zip(("ids", "batches", "messages", "firsts", "lasts"), columns, strict=False))
        with databases.shard(shard) as connection:
            missing = connection.execute(_SQL[without], lists).fetchall()
        yield from ((number, batch) for number, batch in missing)
        after = (rows[-1][0], rows[-1][1] if done != "filed" else 0)


def _again(
    databases: Databases,
    found: Findings,
    message_id: int,
    *,
    now: datetime,
    deposit: tuple[int, int] | None = None,
    author_copy_on: int | None = None,
) -> bool:
    """Have a message delivered again, as far as a shard has forgotten it; False when its content is nowhere."""
    keys: dict[str, Any] = {"message_id": message_id}
    with databases.control() as control:
        row = control.execute(_SQL["has_content"], keys).fetchone()
        if row is None or not row[0]:
            content = _content(databases, message_id)
            if content is None:
                found.lost_messages.add(message_id)
                return False
            control.execute(_SQL["store_content"], {**keys, "content": content})
        control.execute(_SQL["one_more_delivery"], keys)
        if deposit is not None:
            batch, shard = deposit
            control.execute(_SQL["deposit_again"], {**keys, "batch": batch})
            outbox.add(control, [work.deposit(message_id, batch, shard)], due_at=now)
        if author_copy_on is not None:
            control.execute(_SQL["file_again"], keys)
            outbox.add(control, [work.file_author_copy(message_id, author_copy_on)], due_at=now)
    return True


def _content(databases: Databases, message_id: int) -> bytes | None:
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            row = connection.execute(_SQL["body"], {"message_id": message_id}).fetchone()
        if row is not None:
            return bytes(row[0])
    return None


def _withdraw_again(
    databases: Databases, recall_id: int, batch: int, shard: int, *, deadline_at: datetime, now: datetime
) -> None:
    keys = {"recall_id": recall_id, "batch": batch, "deadline_at": deadline_at}
    with databases.control() as control:
        control.execute(_SQL["run_again"], keys)
        control.execute(_SQL["withdraw_again"], keys)
        outbox.add(control, [work.withdraw(recall_id, batch, shard)], due_at=now)


def _restore_again(
    databases: Databases, recall_id: int, batch: int, shard: int, *, deadline_at: datetime, now: datetime
) -> int:
    """R26: have a batch put back again; returns how many batches of later recalls wait for that, and go then."""
    keys = {"recall_id": recall_id, "batch": batch}
    with databases.control() as control:
        control.execute(_SQL["restore_again"], keys)
        control.execute(_SQL["undo_again"], keys)
        outbox.add(control, [work.restore(recall_id, batch, shard)], due_at=now)
        later = control.execute(_SQL["recalled_later"], keys).fetchall()
    for later_id, later_shard in later:
        _withdraw_again(databases, later_id, batch, later_shard, deadline_at=deadline_at, now=now)
    return len(later)


def _unknown(databases: Databases, shard: int, here: str, known: str) -> Iterator[int]:
    after = 0
    while True:
        with databases.shard(shard) as connection:
            ids = [row[0] for row in connection.execute(_SQL[here], {"after": after, "limit": _PAGE})]
        if not ids:
            return
        with databases.control() as control:
            yield from set(ids) - {row[0] for row in control.execute(_SQL[known], {"ids": ids})}
        after = ids[-1]
