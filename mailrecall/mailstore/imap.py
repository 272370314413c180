"""A mailbox as IMAP sees it, on a connection to its shard: UIDs, flags, and what leads to content.

Messages are named by folder and UID. UIDs are given when a session looks at a folder (`look`), never by a deposit. As
in `reading`, whatever shows content first records the fact that keeps the copy, and that is committed before it is
shown.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow

from mailrecall.domain.copies import PREPARED, Fact, Flag, Folder
from mailrecall.mailstore import changes, duplicates, undecided
from mailrecall.mailstore.deposit import ListedMessage, store
from mailrecall.postgres import queries

_SQL = queries.load(
    __package__,
    "imap.sql",
    {"deleted": str(Fact.DELETED.value), "flag_deleted": str(Flag.DELETED.value), "prepared": str(PREPARED)},
)


@dataclass(frozen=True, slots=True)
class Held:
    """A message in a folder; nothing here is a read (R2)."""

    uid: int
    copy_id: int
    flags: Flag
    received_at: datetime
    size: int
    """Octets of the content."""
    attachment_count: int
    undecided: bool = False
    """R13: whether an all-or-nothing recall may take it at any moment, without a word from its shard."""


@dataclass(frozen=True, slots=True)
class View:
    """A folder at one moment."""

    uid_validity: int
    next_uid: int
    messages: Sequence[Held]
    """By ascending UID."""
    fresh: frozenset[int]
    """UIDs given at this look: messages that no session has seen before."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where messages went that were moved, copied or appended: pairs of the old and the new UID."""

    uid_validity: int
    uids: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of one mailbox."""

    mailbox_id: int
    folder: Folder

    @property
    def keys(self) -> dict[str, object]:
        """As the statements name them."""
        return {"mailbox_id": self.mailbox_id, "folder": self.folder}


def look(connection: Connection[Any], place: Place, *, now: datetime) -> View:
    """Look at a folder, giving UIDs to what has none yet, in the caller's transaction."""
    rows = undecided.read(connection, _SQL["list"], place.keys)
    state = connection.execute(_SQL["folder"], place.keys).fetchone()
    if state is not None and all(row[2] is not None for row in rows):
        return View(state[0], state[1], [_held(row) for row in rows], frozenset())
    first = _take(connection, place, now=now).next_uid
    given = connection.execute(_SQL["give_uids"], {**place.keys, "next_uid": first}).rowcount
    if given:
        connection.execute(_SQL["advance"], {**place.keys, "given": given})
    validity, following = connection.execute(_SQL["folder"], place.keys).fetchall()[0]
    messages = [_held(row) for row in undecided.read(connection, _SQL["list"], place.keys) if row[2] is not None]
    fresh = frozenset(range(first, first + given))
    return View(validity, following, messages, fresh & {message.uid for message in messages})


def record(
    connection: Connection[Any], place: Place, uids: Collection[int], facts: Fact, flags: Flag, *, now: datetime
) -> set[int]:
    """Add facts, at least one, and flags (R2, R5).

    Returns:
        the UIDs whose content may be shown once this is committed; the others are gone.
    """
    keys = {**place.keys, "uids": list(uids), "facts": facts, "flags": flags, "now": now}
    found = connection.execute(_SQL["by_uid"], keys).fetchall()
    if all(row[1] & facts == facts and row[3] & flags == flags for row in found):
        return {row[2] for row in found}  # what has such a fact stays, so it need not be locked

    def on_origins(free: Sequence[int]) -> None:
        duplicates.record_on_origins(connection, place.mailbox_id, [row[0] for row in found], facts, free, now=now)

    # locked, so that what comes back is still there when the caller commits
    locked = _lock(connection, place, uids, keeps_at=now, origins_first=on_origins)
    changed = connection.execute(_SQL["record"], {**keys, "copy_ids": [copy_id for copy_id, _ in locked]}).rowcount
    if changed and flags:
        changes.announce_own(connection, place.mailbox_id)
    return {uid for _, uid in locked}


def set_flags(
    connection: Connection[Any], place: Place, uids: Collection[int], *, cleared: Flag, added: Flag, now: datetime
) -> None:
    r"""Clear flags, then set flags; to set `\Seen` is to read, for good (R2)."""
    if Flag.SEEN in added:
        record(connection, place, uids, Fact.READ, Flag(0), now=now)
    locked = _lock(connection, place, uids)
    keys = {**place.keys, "copy_ids": [copy_id for copy_id, _ in locked], "cleared": cleared, "set": added}
    if connection.execute(_SQL["set_flags"], keys).rowcount:
        changes.announce_own(connection, place.mailbox_id)


def content(connection: Connection[Any], place: Place, uid: int) -> bytes | None:
    """Return a message's bytes for this program's own use; whoever shows them records a fact first, if one is due."""
    rows = undecided.read(connection, _SQL["content"], {**place.keys, "uid": uid})
    return bytes(rows[0][2]) if rows else None


def heads(connection: Connection[Any], place: Place, uids: Collection[int], octets: int) -> dict[int, bytes]:
    """Return how messages begin, for their header fields."""
    rows = undecided.read(connection, _SQL["heads"], {**place.keys, "uids": list(uids), "octets": octets})
    return {uid: bytes(head) for _, _, uid, head in rows}


def expunge(connection: Connection[Any], place: Place, uids: Collection[int], *, now: datetime) -> int:
    r"""Delete for good those of the messages that are here and flagged `\Deleted`; return how many."""
    flagged = _flagged_deleted(connection, place, uids)
    if not flagged:
        return 0
    # until they are locked, another session may take the flag from them, or them elsewhere: then they stay
    locked = _lock(connection, place, [uid for _, uid in flagged], keeps_at=now)
    still = set(locked) & _flagged_deleted(connection, place, [uid for _, uid in locked])
    deleted = duplicates.delete_for_good(connection, place.mailbox_id, [copy_id for copy_id, _ in still], now=now)
    if deleted:
        changes.announce_own(connection, place.mailbox_id)
    return deleted


def move(connection: Connection[Any], place: Place, uids: Collection[int], into: Folder, *, now: datetime) -> Placed:
    """Put messages into another folder, where they get new UIDs; what is no longer here is left out."""
    target = Place(place.mailbox_id, into)
    taken = _take(connection, target, now=now)
    rows = _lock(connection, place, uids)
    return _put(connection, target, taken, rows, lambda keys: connection.execute(_SQL["move"], keys))


def copy(
    connection: Connection[Any],
    place: Place,
    uids: Collection[int],
    into: Folder,
    *,
    new_ids: Sequence[int],
    now: datetime,
) -> Placed:
    """Make duplicates of messages in a folder.

    Args:
        connection: to the mailbox's shard.
        place: where they lie.
        uids: which; what is no longer here is left out.
        into: where the duplicates go.
        new_ids: message ids for the duplicates, as many as UIDs, ascending.
        now: the present moment.
    """
    target = Place(place.mailbox_id, into)
    taken = _take(connection, target, now=now)
    found = connection.execute(_SQL["by_uid"], {**place.keys, "uids": list(uids)}).fetchall()

    def origins(free: Sequence[int]) -> None:
        keys = {**place.keys, "copy_ids": [row[0] for row in found], "free": list(free)}
        connection.execute(_SQL["lock_with_origins"], keys)

    rows = _lock(connection, place, uids, origins_first=origins)

    def duplicate(keys: Mapping[str, object]) -> None:
        keys = {**keys, "new_ids": list(new_ids[: len(rows)])}
        for statement in ("copy_messages", "copy_copies", "note_duplicates"):
            connection.execute(_SQL[statement], keys)

    return _put(connection, target, taken, rows, duplicate)


def append(
    connection: Connection[Any],
    place: Place,
    copy_id: int,
    listed: ListedMessage,
    content: bytes,
    *,
    flags: Flag,
    now: datetime,
) -> Placed:
    """Put a message of the owner's own into a folder, in the caller's transaction.

    Args:
        connection: to the mailbox's shard.
        place: the folder.
        copy_id: an unused message id, which no recall will name.
        listed: what mailboxes list; `accepted_at` is the internal date.
        content: the bytes.
        flags: the flags it comes with.
        now: the present moment.
    """
    taken = _take(connection, place, now=now)
    store(connection, copy_id, copy_id, listed, content)
    keys = {**place.keys, "copy_id": copy_id, "flags": flags, "uid": taken.next_uid}
    connection.execute(_SQL["append"], keys)
    connection.execute(_SQL["advance"], {**place.keys, "given": 1})
    changes.announce_own(connection, place.mailbox_id, copy_id)
    return Placed(taken.uid_validity, [(0, taken.next_uid)])


def _flagged_deleted(connection: Connection[Any], place: Place, uids: Collection[int]) -> set[TupleRow]:
    """Return the ids and UIDs of those of the messages that bear the flag."""
    return set(connection.execute(_SQL["flagged_deleted"], {**place.keys, "uids": list(uids)}).fetchall())


def _lock(
    connection: Connection[Any],
    place: Place,
    uids: Collection[int],
    *,
    keeps_at: datetime | None = None,
    origins_first: Callable[[Sequence[int]], None] = lambda _: None,
) -> list[TupleRow]:
    """Lock messages to be changed; return the ids and UIDs of those that are there.

    Args:
        connection: to the mailbox's shard.
        place: where they lie.
        uids: which.
        keeps_at: the present moment, if the change keeps a copy from being recalled.
        origins_first: locks the origins of duplicates, of which those named may be taken although they are prepared.
    """
    keys = {**place.keys, "uids": list(uids)}
    free: set[int] = set()
    gone: set[int] = set()
    while True:
        origins_first(sorted(free))
        locked = connection.execute(_SQL["lock"], {**keys, "free": sorted(free)}).fetchall()
        if len(locked) == len(uids):
            return locked
        found = connection.execute(_SQL["by_uid"], keys).fetchall()
        marked = {copy_id for row in found for copy_id in undecided.marked(row)} - free - gone
        if not marked:
            return locked
        standing = undecided.changeable(connection, place.mailbox_id, marked, keeps_at=keeps_at)
        free |= set(standing.free)
        gone |= standing.gone


@dataclass(frozen=True, slots=True)
class _Taken:
    uid_validity: int
    next_uid: int


def _take(connection: Connection[Any], place: Place, *, now: datetime) -> _Taken:
    rows = connection.execute(_SQL["take_folder"], {**place.keys, "uid_validity": int(now.timestamp())}).fetchall()
    return _Taken(*rows[0])


def _put(
    connection: Connection[Any],
    target: Place,
    taken: _Taken,
    rows: Sequence[tuple[int, int]],
    how: Callable[[dict[str, object]], object],
) -> Placed:
    """Give the locked rows new UIDs in their order, and have them put into the target folder."""
    ordered = sorted(rows, key=lambda row: row[1])
    pairs = [(uid, taken.next_uid + number) for number, (_, uid) in enumerate(ordered)]
    if pairs:
        placing = {"copy_ids": [row[0] for row in ordered], "new_uids": [new for _, new in pairs]}
        how({"mailbox_id": target.mailbox_id, "into": target.folder, **placing})
        connection.execute(_SQL["advance"], {**target.keys, "given": len(pairs)})
        changes.announce_own(connection, target.mailbox_id)
    return Placed(taken.uid_validity, pairs)


def _held(row: Sequence[Any]) -> Held:
    copy_id, facts, uid, flags, received_at, size, attachment_count = row
    return Held(uid, copy_id, Flag(flags), received_at, size, attachment_count, bool(facts & PREPARED))
