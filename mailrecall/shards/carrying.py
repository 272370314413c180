"""What a mailbox is made of on its shard, carried to another one: everything or, when it is given up, nothing.

Carrying writes to both shards in the callers' transactions. What the mailboxes' own rows name, such as messages and
bodies, goes along unless the other shard has it; it stays where it was, for others may need it. Of authors' copies the
other shard may have what has changed since: it is replaced.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from mailrecall.domain.copies import PREPARED
from mailrecall.mailstore.changes import announce_own
from mailrecall.mailstore.withdrawal import SLUG_CASE, Counts
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases
from mailrecall.shards.dividing import Division, less

_SQL = queries.load(__package__, "carrying.sql", {"SLUG_CASE": SLUG_CASE, "PREPARED": str(PREPARED)})

CARRIED = {
    *("copy", "folder", "duplicate", "draft", "forward", "outcome", "withdrawn_duplicate"),
    *("deposit", "withdrawal", "message", "body"),
}
"""The tables of a shard that mailboxes take along."""
OF_THE_SHARD = {"absence", "last_move", "moved_copy", "division", "prepared", "restoration"}
"""The tables that are about moves, written anew at each; and about what does not move while it goes on (R13, R26)."""


class UndecidedError(psycopg.OperationalError):
    """Some mailbox has a copy in an all-or-nothing recall or an undo that is not over yet (R13, R26); try again."""

    def __init__(self) -> None:
        super().__init__("an all-or-nothing recall, or an undo, of some of the copies is under way")


class SupersededError(Exception):
    """Another mover came after this one: it was taken for dead."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be carried."""

    mailbox_ids: Sequence[int]
    divisions: Sequence[Division]
    recalls: Sequence[tuple[int, int]]
    """Recalls of the divided messages, each with its message."""
    message_ids: Sequence[int]
    """What the other shard has to know: messages of copies, and of divided batches."""

    @property
    def recall_ids(self) -> list[int]:
        """The recalls whose ledger names the mailboxes."""
        return [recall_id for recall_id, _ in self.recalls]


def take(
    connection: Connection[Any], move_id: int, mailbox_ids: Sequence[int], *, batches: bool, patience: float
) -> None:
    """Lock mailboxes on a shard for the rest of the transaction, and batches if asked to.

    Raises:
        psycopg.errors.LockNotAvailable: somebody uses them for longer than `patience` seconds.
        SupersededError: another move came later.
    """
    connection.execute(_SQL["be_patient"], {"milliseconds": str(round(patience * 1000))})
    connection.execute(_SQL["take_mailboxes"], {"mailbox_ids": sorted(mailbox_ids)})
    if batches:
        connection.execute(_SQL["take_batches"])
    if not connection.execute(_SQL["take_part"], {"move_id": move_id}).rowcount:
        raise SupersededError


def survey(
    source: Connection[Any], control: Connection[Any], shard: int, to: int, mailbox_ids: Sequence[int], *, taken: bool
) -> Load:
    """Find out what mailboxes are made of; for certain, and with numbers for new batches, only while they are taken.

    Raises:
        UndecidedError: an all-or-nothing recall of some of it is under way.
    """
    keys: dict[str, Any] = {"mailbox_ids": list(mailbox_ids), "shard": shard}
    received = [row[0] for row in source.execute(_SQL["received"], keys)]
    recalled = [row[0] for row in source.execute(_SQL["recalled"], keys)]
    rows = control.execute(
        _SQL["batches_of"], {**keys, "message_ids": received, "recall_ids": recalled, "numbered": taken}
    ).fetchall()
    divisions = [Division(message_id, batch, new, to, members) for message_id, batch, new, members in rows]
    divided = {one.message_id for one in divisions}
    recalls = control.execute(_SQL["recalls_of"], {"message_ids": list(divided)}).fetchall()
    undecided = control.execute(_SQL["undecided"], {"message_ids": list(divided)}).fetchone()
    waiting = source.execute(_SQL["waits_for_decision"], keys).fetchone()
    if (undecided and undecided[0]) or (waiting and waiting[0]):
        raise UndecidedError
    copies = {row[0] for row in source.execute(_SQL["all_copies"], keys)}
    keys["recall_ids"] = [recall_id for recall_id, _ in recalls]
    withdrawn = {row[0] for row in source.execute(_SQL["withdrawn_duplicates"], keys)}
    return Load(list(mailbox_ids), divisions, recalls, sorted(copies | divided | withdrawn))


def send_messages(source: Connection[Any], target: Connection[Any], message_ids: Sequence[int]) -> None:
    """Send what is kept once for each message and shard, as far as the one shard has it and the other has not."""
    send_bodies(source, target, message_ids)
    known = {row[0] for row in target.execute(_SQL["known_messages"], {"message_ids": list(message_ids)})}
    new_messages = sorted(set(message_ids) - known)
    _pipe(source, target, "message", "t.id = ANY (%(new_messages)s)", {"new_messages": new_messages})


def bring_message(databases: Databases, message_id: int, shard: int) -> bool:
    """Bring a message to a shard from any other one; False when no other has it.

    Raises:
        psycopg.OperationalError: one does not answer, and may have it.
    """
    away: psycopg.OperationalError | None = None
    for other in databases.shards:
        if other == shard:
            continue
        try:
            with databases.shard(other) as source, databases.shard(shard) as target:
                if source.execute(_SQL["known_messages"], {"message_ids": [message_id]}).fetchone() is not None:
                    send_messages(source, target, [message_id])
                    return True
        except psycopg.OperationalError as error:
            away = error
    if away is not None:
        raise away
    return False


def send_bodies(source: Connection[Any], target: Connection[Any], message_ids: Sequence[int]) -> int:
    """Send contents that the other shard has not got, one at a time; return how many. Nobody waits for this."""
    ids = [row[0] for row in source.execute(_SQL["body_ids"], {"message_ids": list(message_ids)})]
    known = {row[0] for row in target.execute(_SQL["known_bodies"], {"body_ids": ids})}
    sent = 0
    for body_id in sorted(set(ids) - known):
        row = source.execute(_SQL["body"], {"body_id": body_id}).fetchone()
        if row is not None:  # purged, or a draft's that was replaced
            target.execute(_SQL["store_body"], {"body_id": body_id, "content": row[0]})
            sent += 1
    return sent


def carry(source: Connection[Any], target: Connection[Any], move_id: int, load: Load) -> None:
    """Write everything to the other shard, in place of what an abandoned move left there; nobody sees it there yet."""
    keys: dict[str, Any] = {"mailbox_ids": list(load.mailbox_ids), "move_id": move_id}
    target.execute(_SQL["be_absent"], keys)
    _clear(target, load)
    _send_anew(source, target, load.message_ids)
    _lists(source, load)
    for table in ("copy", "folder", "duplicate", "draft"):
        _pipe(source, target, table, "t.mailbox_id = ANY (%(mailbox_ids)s)", keys)
    _pipe(
        source,
        target,
        "forward",
        "t.mailbox_id = ANY (%(mailbox_ids)s) AND t.message_id = ANY (%(message_ids)s)",
        {**keys, "message_ids": list(load.message_ids)},
        joins="LEFT JOIN dividing d ON d.message_id = t.message_id AND d.batch = t.batch",
        batch="coalesce(d.new_batch, t.batch)",
    )
    for table in ("outcome", "withdrawn_duplicate"):
        _pipe(
            source,
            target,
            table,
            "t.mailbox_id = ANY (%(mailbox_ids)s)",
            keys,
            joins="JOIN recalling r ON r.recall_id = t.recall_id"
            " LEFT JOIN dividing d ON d.message_id = r.message_id AND d.batch = t.batch",
            batch="coalesce(d.new_batch, t.batch)",
        )
    _pipe(
        source,
        target,
        "deposit",
        "true",
        keys,
        joins="JOIN dividing d ON d.message_id = t.message_id AND d.batch = t.batch",
        batch="d.new_batch",
    )
    _pipe(
        source,
        target,
        "withdrawal",
        "true",
        keys,
        joins="JOIN recalling r ON r.recall_id = t.recall_id"
        " JOIN dividing d ON d.message_id = r.message_id AND d.batch = t.batch",
        batch="d.new_batch",
    )
    for recall_id, _, new_batch, _, moved in source.execute(_SQL["moved_counts"]).fetchall():
        target.execute(_SQL["correct_counts"], {"recall_id": recall_id, "batch": new_batch, "counts": Jsonb(moved)})
    with target.cursor() as cursor:
        cursor.executemany(
            _SQL["note_divisions"],
            [
                {
                    "move_id": move_id,
                    "message_id": one.message_id,
                    "batch": one.batch,
                    "new_batch": one.new_batch,
                    "mailbox_ids": list(one.mailbox_ids),
                }
                for one in load.divisions
            ],
        )
    target.execute(_SQL["note_moved_copies"], keys)


def leave(source: Connection[Any], move_id: int, load: Load) -> None:
    """Take everything off the shard that was carried from it: from the caller's commit on, the mailboxes have left."""
    left: dict[tuple[int, int], Counts] = {}
    for recall_id, batch, _, counts, moved in source.execute(_SQL["moved_counts"]).fetchall():
        left[recall_id, batch] = less(left.get((recall_id, batch), counts), moved)
    for (recall_id, batch), counts in left.items():
        source.execute(_SQL["correct_counts"], {"recall_id": recall_id, "batch": batch, "counts": Jsonb(counts)})
    _clear(source, load)
    source.execute(_SQL["be_absent"], {"mailbox_ids": list(load.mailbox_ids), "move_id": move_id})
    for mailbox_id in load.mailbox_ids:
        announce_own(source, mailbox_id)  # who waits for news there has to look elsewhere


def arrive(target: Connection[Any], move_id: int, mailbox_ids: Sequence[int]) -> None:
    """Open mailboxes on the shard that they have reached; a second time changes nothing."""
    target.execute(_SQL["be_present"], {"mailbox_ids": list(mailbox_ids), "move_id": move_id})


def turn_back(target: Connection[Any], move_id: int) -> None:
    """Delete what a move that is given up had carried to a shard: no recall would reach it there."""
    mailbox_ids = [row[0] for row in target.execute(_SQL["arriving"], {"move_id": move_id})]
    if not mailbox_ids:
        return
    recalled = [(row[0], 0) for row in target.execute(_SQL["recalled"], {"mailbox_ids": mailbox_ids})]
    copies = {row[0] for row in target.execute(_SQL["all_copies"], {"mailbox_ids": mailbox_ids})}
    divided = {one.message_id for one in divisions(target, move_id, 0)}
    _clear(target, Load(mailbox_ids, [], recalled, sorted(copies | divided)))
    for statement in ("drop_deposits", "drop_withdrawals", "forget_divisions"):
        target.execute(_SQL[statement], {"move_id": move_id})


def has_left(source: Connection[Any], move_id: int, mailbox_ids: Sequence[int]) -> bool:
    """Tell whether a move got so far that the mailboxes are no longer on the shard."""
    row = source.execute(_SQL["has_left"], {"mailbox_ids": list(mailbox_ids), "move_id": move_id}).fetchone()
    return bool(row and row[0])


def divisions(target: Connection[Any], move_id: int, shard: int) -> list[Division]:
    """Return how a move divides batches, as the shard that it led to has written it down."""
    rows = target.execute(_SQL["divisions"], {"move_id": move_id}).fetchall()
    return [Division(message_id, batch, new_batch, shard, members) for message_id, batch, new_batch, members in rows]


def forget_divisions(target: Connection[Any], move_id: int) -> None:
    """Drop what the control database has taken over."""
    target.execute(_SQL["forget_divisions"], {"move_id": move_id})


def counts_of(connection: Connection[Any], recall_id: int, batch: int) -> Counts | None:
    """Return what a shard counts for a recall's batch."""
    row = connection.execute(_SQL["counts_of"], {"recall_id": recall_id, "batch": batch}).fetchone()
    return row[0] if row else None


def _clear(connection: Connection[Any], load: Load) -> None:
    keys: Mapping[str, Any] = {
        "mailbox_ids": list(load.mailbox_ids),
        "message_ids": list(load.message_ids),
        "recall_ids": load.recall_ids,
    }
    for what in (
        "copies",
        "folders",
        "duplicates",
        "drafts",
        "moved_copies",
        "forwards",
        "withdrawn_duplicates",
        "outcomes",
    ):
        connection.execute(_SQL[f"clear_{what}"], keys)


def _send_anew(source: Connection[Any], target: Connection[Any], message_ids: Sequence[int]) -> None:
    """Send messages, those of author's copies also in the place of what the other shard knows of them (R15, R28)."""
    keys = {"message_ids": list(message_ids)}
    replaced = [row[0] for row in target.execute(_SQL["drop_authors_messages"], keys)]
    send_messages(source, target, message_ids)
    # after the sending: most drafts are as they were, and a copy of a draft shares its content
    target.execute(_SQL["drop_bodies"], {"body_ids": replaced})


def _lists(source: Connection[Any], load: Load) -> None:
    """Put what is divided where the statements on the shard can see it."""
    source.execute(_SQL["make_lists"])
    source.execute(_SQL["make_recalls"])
    with source.cursor() as cursor, cursor.copy(_SQL["fill_dividing"]) as copy:
        for one in load.divisions:
            copy.write_row((one.message_id, one.batch, one.new_batch, list(one.mailbox_ids)))
    with source.cursor() as cursor, cursor.copy(_SQL["fill_recalling"]) as copy:
        for row in load.recalls:
            copy.write_row(row)


def _pipe(
    source: Connection[Any],
    target: Connection[Any],
    table: str,
    condition: str,
    parameters: Mapping[str, Any],
    *,
    joins: str = "",
    batch: str = "t.batch",
) -> None:
    """Stream rows from shard to shard, all columns that the table has, the batch by its new number."""
    names = [row[0] for row in source.execute(_SQL["columns"], {"table": table})]
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    chosen = sql.SQL(", ").join(sql.SQL(batch) if name == "batch" else sql.Identifier("t", name) for name in names)
    out = sql.SQL("COPY (SELECT {} FROM {} AS t {} WHERE {}) TO STDOUT").format(
        chosen,
        sql.Identifier(table),
        sql.SQL(joins),
        sql.SQL(condition),
    )
    arriving = sql.Identifier(f"arriving_{table}")
    target.execute(
        sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
            arriving, columns, sql.Identifier(table)
        )
    )
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(arriving, columns)
    with (
        source.cursor() as reader,
        target.cursor() as writer,
        reader.copy(out, parameters) as outgoing,
        writer.copy(into) as incoming,
    ):
        for octets in outgoing:
            incoming.write(octets)
    # a message can have come meanwhile; of all else nothing is there
    target.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}{}").format(
            sql.Identifier(table),
            columns,
            columns,
            arriving,
            sql.SQL(" ON CONFLICT DO NOTHING" if table == "message" else ""),
        )
    )
