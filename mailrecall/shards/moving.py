"""Moving mailboxes: three databases, one after the other, so that at every moment one shard has them.

The order (ADR 0027): the other shard gets everything, still closed; the journal says that the mailboxes may be leaving;
the shard they leave forgets them and turns away whoever still comes; the other shard opens; the control database says
where they are, and in which batches. Whatever ends the mover in between, the next one can tell from the journal and the
shards how far it came: back before the leaving, forward after it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg import Connection

from mailrecall import faultpoints, logs
from mailrecall.faultpoints import Commit
from mailrecall.mailstore import residence
from mailrecall.mailstore.withdrawal import Counts
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases, connection_options
from mailrecall.settings import Settings
from mailrecall.shards import carrying, dividing
from mailrecall.shards.errors import ShardError

log = logs.get(__name__)

_SQL = queries.load(__package__, "moving.sql")

PATIENCE = 2.0
"""Seconds that a move waits for those who use a mailbox; who comes meanwhile waits behind it."""

_BODIES_AT_ONCE = 200

STEPS = ("begun", "bodies_sent", "taken", "carried", "leaving", "left", "gone", "arrived", "placed")
"""The points at which a move can be ended from outside, in their order; for tests of what happens then."""


class MoveUnderWayError(ShardError):
    """Another process moves mailboxes at this moment."""


class Mover:
    """The one process that moves mailboxes; see `mover`."""

    def __init__(self, databases: Databases, journal: Connection[Any], reached: Callable[[str], object]) -> None:
        self._databases = databases
        self._journal = journal
        self._reached = reached

    def move(self, source: int, target: int, mailbox_ids: Sequence[int], *, now: datetime) -> None:
        """Move mailboxes from one shard to another, all of them together. What was interrupted before is ended first.

        Raises:
            MailboxMovedError: they are not, or not all, on the first shard; nothing was changed.
            psycopg.errors.LockNotAvailable: somebody used them for too long; nothing was changed, try again.
            psycopg.OperationalError: a database does not answer; what was begun is ended by `end_interrupted`.
        """
        # one that could not be ended when it failed may be of these very mailboxes
        self.end_interrupted(now=now)
        keys = {"from_shard": source, "to_shard": target, "mailbox_ids": sorted(mailbox_ids), "now": now}
        move_id: int = self._one("begin", keys)
        self._reached("begun")
        try:
            self._send_bodies(source, target, mailbox_ids)
            self._reached("bodies_sent")
            with self._others_stopped():
                self._relocate(move_id, source, target, mailbox_ids)
                self._finish(move_id, target, mailbox_ids, now=now)
        except psycopg.Error:
            self.end_interrupted(now=now)
            if not self._is_done(move_id):
                raise
        with self._databases.shard(target) as connection:
            carrying.forget_divisions(connection, move_id)
        log.info("shards.moved", move_id=move_id, source=source, target=target, mailboxes=len(mailbox_ids))

    def end_interrupted(self, *, now: datetime) -> int:
        """End what an earlier mover left unfinished: forward if its mailboxes had left, back if not; return how much.

        Raises:
            psycopg.OperationalError: a database does not answer, or the earlier mover still holds the mailboxes.
        """
        unfinished = self._journal.execute(_SQL["unfinished"]).fetchall()
        for move_id, source, target, mailbox_ids, state in unfinished:
            with self._others_stopped():
                if state == "leaving" and self._has_left(move_id, source, mailbox_ids):
                    self._finish(move_id, target, mailbox_ids, now=now)
                    log.warning("shards.move_completed", move_id=move_id)
                else:
                    self._empty(move_id, target, mailbox_ids)
                    self._journal.execute(_SQL["end"], {"move_id": move_id, "state": "abandoned", "now": now})
                    log.warning("shards.move_abandoned", move_id=move_id)
        return len(unfinished)

    def _empty(self, move_id: int, target: int, mailbox_ids: Sequence[int]) -> None:
        """Take off a shard what arrived there with a move that is given up; if it is away, the next move does so."""
        try:
            with self._databases.shard(target) as reached:
                carrying.take(reached, move_id, mailbox_ids, batches=False, patience=PATIENCE)
                carrying.turn_back(reached, move_id)
        except (psycopg.OperationalError, LookupError) as error:
            log.warning("shards.arrivals_left", move_id=move_id, target=target, failure=type(error).__name__)

    def _send_bodies(self, source: int, target: int, mailbox_ids: Sequence[int]) -> None:
        """Send the contents ahead, while the mailboxes are in use."""
        with self._databases.shard(source) as leaving, self._databases.control() as control:
            load = carrying.survey(leaving, control, source, target, mailbox_ids, taken=False)
        for start in range(0, len(load.message_ids), _BODIES_AT_ONCE):
            some = load.message_ids[start : start + _BODIES_AT_ONCE]
            with self._databases.shard(source) as leaving, self._databases.shard(target) as reached:
                carrying.send_bodies(leaving, reached, some)

    def _relocate(self, move_id: int, source: int, target: int, mailbox_ids: Sequence[int]) -> None:
        with self._databases.shard(source) as leaving:
            carrying.take(leaving, move_id, mailbox_ids, batches=True, patience=PATIENCE)
            self._reached("taken")
            with self._databases.shard(target) as reached:
                carrying.take(reached, move_id, mailbox_ids, batches=True, patience=PATIENCE)
                with self._databases.control() as control:
                    self._require_resident(leaving, control, source, mailbox_ids)
                    load = carrying.survey(leaving, control, source, target, mailbox_ids, taken=True)
                carrying.carry(leaving, reached, move_id, load)
            self._reached("carried")
            # said before it can be so: if it is not said, the mailboxes are where they were
            if not self._journal.execute(_SQL["leaving"], {"move_id": move_id}).rowcount:
                raise carrying.SupersededError
            self._reached("leaving")
            carrying.leave(leaving, move_id, load)
            self._reached("left")
        self._reached("gone")

    def _require_resident(
        self, leaving: Connection[Any], control: Connection[Any], source: int, mailbox_ids: Sequence[int]
    ) -> None:
        """Make sure that the taken mailboxes are on the shard that they are to leave.

        Carrying replaces what the other shard has of them: had they arrived there, that would be all there is.
        """
        residence.require_present(leaving, mailbox_ids)
        row = control.execute(_SQL["elsewhere"], {"shard": source, "mailbox_ids": list(mailbox_ids)}).fetchone()
        if row is None or row[0]:
            raise residence.MailboxMovedError

    def _is_done(self, move_id: int) -> bool:
        return bool(self._one("is_done", {"move_id": move_id}))

    def _has_left(self, move_id: int, source: int, mailbox_ids: Sequence[int]) -> bool:
        with self._databases.shard(source) as leaving:
            # whoever was leaving holds these, unless it has committed, or never will
            carrying.take(leaving, move_id, mailbox_ids, batches=False, patience=PATIENCE)
            return carrying.has_left(leaving, move_id, mailbox_ids)

    def _finish(self, move_id: int, target: int, mailbox_ids: Sequence[int], *, now: datetime) -> None:
        with self._databases.shard(target) as reached:
            carrying.arrive(reached, move_id, mailbox_ids)
            divisions = carrying.divisions(reached, move_id, target)
        self._reached("arrived")

        def counts_of(recall_id: int, batch: int) -> Counts | None:
            with self._databases.shard(target) as reached:
                return carrying.counts_of(reached, recall_id, batch)

        with self._databases.control() as control:
            if control.execute(_SQL["lock_leaving"], {"move_id": move_id}).fetchone() is not None:
                dividing.divide(control, divisions, counts_of, now=now)
                dividing.place(control, mailbox_ids, target)
                control.execute(_SQL["end"], {"move_id": move_id, "state": "done", "now": now})
        self._reached("placed")

    @contextmanager
    def _others_stopped(self) -> Iterator[None]:
        """Keep the placement from everybody who counts on it."""
        self._journal.execute(_SQL["stop_others"])
        try:
            yield
        finally:
            if not self._journal.broken:
                self._journal.execute(_SQL["let_others"])

    def _one(self, statement: str, keys: dict[str, Any]) -> Any:
        row = self._journal.execute(_SQL[statement], keys).fetchone()
        return row[0] if row else None


@contextmanager
def mover(
    settings: Settings, databases: Databases, reached: Callable[[str], object] = lambda _: None
) -> Iterator[Mover]:
    """Become the one process that moves mailboxes, until the end of the block.

    Args:
        settings: where the control database is.
        databases: the process's databases.
        reached: told of each of `STEPS`.

    Raises:
        MoveUnderWayError: another process is.
    """
    options = connection_options(settings, "mover")
    # a connection of its own: its locks last as long as the process
    with psycopg.connect(settings.control_url, autocommit=True, **options) as journal:
        row = journal.execute(_SQL["become_the_mover"]).fetchone()
        if row is None or not row[0]:
            raise MoveUnderWayError("Another process is moving mailboxes; wait until it is done.")
        journal.execute(_SQL["be_patient"], {"milliseconds": str(round(PATIENCE * 1000))})
        yield Mover(databases, journal, reached)


def end_interrupted(settings: Settings, databases: Databases, *, now: datetime) -> int:
    """End moves whose mover has died; return how many. Moves that are under way are left to their mover.

    Raises:
        psycopg.OperationalError: a database does not answer.
    """
    with databases.control() as control:
        row = control.execute(_SQL["has_unfinished"]).fetchone()
    if row is None or not row[0]:
        return 0
    try:
        with mover(settings, databases) as successor:
            return successor.end_interrupted(now=now)
    except MoveUnderWayError:
        return 0


def mend(databases: Databases, message_id: int, batch: int, *, now: datetime) -> bool:
    """Divide a batch some of whose mailboxes moved before it held anything of theirs, so that nothing was carried.

    That is so of batches that were written down, or on their way, while the mailboxes moved, and of mailboxes that were
    to get no copy. What their shard has claimed of the batch is claimed of the new one too (R16).

    Returns:
        False when every mailbox is where the batch is; then whoever missed one has met a move under way.
    """
    with databases.control() as control:
        control.execute(_SQL["stop_others_once"])
        keys = {"message_id": message_id, "batch": batch}
        # what a shard holds by now the control database knows by then, or takes for due until the batch is divided
        control.execute(_SQL["hold_off_records"], keys)
        divisions = []
        misplaced = control.execute(_SQL["misplaced"], keys).fetchall()
        moved = sum(len(mailbox_ids) for _, _, mailbox_ids, _ in misplaced)
        for source, target, mailbox_ids, members in misplaced:
            row = control.execute(_SQL["number"]).fetchone()
            number: int = row[0] if row else 0
            with databases.shard(source) as connection:
                claimed = connection.execute(_SQL["claimed"], keys).fetchone()
                if moved == members:
                    connection.execute(_SQL["forget_preparation"], keys)
            new = {**keys, "new_batch": number, "mailbox_ids": mailbox_ids}
            with databases.shard(source) as leaving, databases.shard(target) as reached:
                reached.execute(_SQL["note_members"], new)
                if claimed is not None:
                    reached.execute(_SQL["claim_likewise"], {**new, "recall_id": claimed[0]})
                if claimed is not None and _may_be_undone(control, claimed[0]):
                    # R26: no deposit brings it any more, and an undo may put copies there
                    carrying.send_messages(leaving, reached, [message_id])
                faultpoints.before(Commit.MEND)
            faultpoints.after(Commit.MEND)
            divisions.append(dividing.Division(message_id, batch, number, target, mailbox_ids))
        # no ledger names those who moved, or they would have been carried: what was counted stays together
        dividing.divide(control, divisions, lambda _recall, _batch: None, now=now)
        if divisions:
            faultpoints.before(Commit.MEND_RECORD)
    if divisions:
        faultpoints.after(Commit.MEND_RECORD)
        log.info("shards.batch_mended", message_id=message_id, batch=batch, batches=len(divisions))
    return bool(divisions)


def _may_be_undone(control: Connection[Any], recall_id: int | None) -> bool:
    """Tell whether what a recall keeps out of mailboxes may still come in by an undo: then its content is needed."""
    row = control.execute(_SQL["unpurged"], {"recall_id": recall_id}).fetchone()
    return bool(row and row[0])
