"""Copies that their owner made of copies (IMAP COPY), so that R2 to R9 hold for all of them together.

A duplicate has a message id of its own. What is known of it is known of its origin too, and while one of them lives the
origin's row stands for a living copy. Both have one content: a draft that gets another is no origin any more
(mailstore.drafts). Rows are locked in the order of their ids, origins first: as a withdrawal does.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.domain.copies import PREPARED, Fact, Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.mailstore import undecided
from mailrecall.postgres import queries

_SQL = queries.load(
    __package__,
    "duplicates.sql",
    {"deleted": str(Fact.DELETED.value), "RECALLED": str(Outcome.RECALLED.value), "prepared": str(PREPARED)},
)


def record_on_origins(
    connection: Connection[Any],
    mailbox_id: int,
    copy_ids: Sequence[int],
    facts: Fact,
    free: Sequence[int] = (),
    *,
    now: datetime,
) -> None:
    """Add facts to the origins of those copies that are duplicates; called before the copies' own rows are locked.

    Origins that an all-or-nothing recall has prepared are left alone, unless they are `free` (mailstore.undecided).
    """
    connection.execute(
        _SQL["record_on_origins"],
        {"mailbox_id": mailbox_id, "copy_ids": list(copy_ids), "facts": facts, "free": list(free), "now": now},
    )


def delete_for_good(
    connection: Connection[Any],
    mailbox_id: int,
    copy_ids: Sequence[int],
    *,
    folder: Folder | None = None,
    now: datetime,
) -> int:
    """Delete copies for good, in the caller's shard transaction.

    A duplicate's row goes. An origin with a living duplicate takes that one's place, unless it is a draft (R28). Any
    other copy stays as a record.

    Args:
        connection: to the mailbox's shard.
        mailbox_id: whose.
        copy_ids: the copies.
        folder: where they must still lie; None: wherever they lie.
        now: the present moment.

    Returns:
        how many copies were there to be deleted.
    """
    parameters: dict[str, Any] = {
        "mailbox_id": mailbox_id,
        "copy_ids": sorted(copy_ids),
        "folder": folder,
        "now": now,
    }
    living = _lock(connection, parameters)
    if not living:
        return 0
    parameters["copy_ids"] = living
    connection.execute(_SQL["let_copies_of_drafts_stand_alone"], parameters)
    gone = {copy_id for (copy_id,) in connection.execute(_SQL["drop_duplicates"], parameters)}
    left = [copy_id for copy_id in living if copy_id not in gone]
    marked = [copy_id for copy_id in left if not _take_place_of_duplicate(connection, mailbox_id, copy_id)]
    connection.execute(_SQL["mark_deleted"], {**parameters, "copy_ids": marked})
    return len(living)


def withdraw_with_origins(connection: Connection[Any], recall_id: int, batch: int, message_id: int) -> None:
    """Delete the duplicates of the copies that a batch withdrew, in the same transaction."""
    keys = {"recall_id": recall_id, "batch": batch, "message_id": message_id}
    if connection.execute(_SQL["has_duplicates"], keys).fetchone() is not None:
        connection.execute(_SQL["withdraw"], keys)


def _lock(connection: Connection[Any], parameters: Mapping[str, Any]) -> list[int]:
    """Lock those of the copies that are there; recalls that a deletion would keep them from are decided first (R13)."""
    mailbox_id, now = parameters["mailbox_id"], parameters["now"]
    free: set[int] = set()
    gone: set[int] = set()
    while True:
        found = connection.execute(_SQL["lock"], {**parameters, "free": sorted(free)}).fetchall()
        living = [copy_id for (copy_id,) in found]
        if len(living) == len(parameters["copy_ids"]):
            return living
        marked = {copy_id for (copy_id,) in connection.execute(_SQL["marked"], parameters)} - free - gone
        if not marked:
            return living
        standing = undecided.changeable(connection, mailbox_id, marked, keeps_at=now)
        free |= set(standing.free)
        gone |= standing.gone


def _take_place_of_duplicate(connection: Connection[Any], mailbox_id: int, origin_id: int) -> bool:
    keys = {"mailbox_id": mailbox_id, "origin_id": origin_id}
    heir = connection.execute(_SQL["living_duplicate"], keys).fetchone()
    if heir is None:
        return False
    heir_id, folder, flags, uid = heir
    # the heir's row goes first: both would bear the same UID
    connection.execute(_SQL["drop_duplicates"], {**keys, "copy_ids": [heir_id]})
    connection.execute(_SQL["take_place"], {**keys, "folder": folder, "flags": flags, "uid": uid})
    return True
