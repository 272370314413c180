"""R28: drafts, on a connection to the author's shard. A draft is an author's copy that was not sent yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from mailrecall.domain.copies import Fact, Flag, Folder
from mailrecall.mailstore.changes import announce_own
from mailrecall.mailstore.deposit import ListedMessage, store
from mailrecall.postgres import queries

_SQL = queries.load(
    __package__,
    "drafts.sql",
    {"deleted": str(Fact.DELETED.value), "drafts": str(Folder.DRAFTS.value)},
)

FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft as it was last saved."""

    copy_id: int
    version: int
    fields: Mapping[str, Any]
    """What its author typed: `to`, `cc`, `bcc`, `subject`, `text`, `html`."""
    saved_at: datetime
    content: bytes
    """The message that it would be now, without the addresses that are none yet; its attachments are only here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What is to be saved."""

    fields: Mapping[str, Any]
    listed: ListedMessage
    content: bytes
    body_id: int
    """An unused message id: every version has content of its own."""


def find(connection: Connection[Any], mailbox_id: int, copy_id: int) -> Draft | None:
    """Return a draft; None when there is none, or its copy does not lie in the Drafts folder."""
    row = connection.execute(_SQL["find"], _keys(mailbox_id, copy_id)).fetchone()
    return Draft(copy_id, row[0], row[1], row[2], bytes(row[3])) if row else None


def lock(connection: Connection[Any], mailbox_id: int, copy_id: int) -> Draft | None:
    """Return a draft as `find` does, locked until the transaction ends: who saves, sends or deletes it waits."""
    connection.execute(_SQL["lock"], _keys(mailbox_id, copy_id))
    return find(connection, mailbox_id, copy_id)


def exists(connection: Connection[Any], mailbox_id: int, copy_id: int) -> bool:
    """Tell whether a copy, wherever it lies now, is a draft's."""
    row = connection.execute(_SQL["exists"], _keys(mailbox_id, copy_id)).fetchone()
    return bool(row and row[0])


def create(connection: Connection[Any], mailbox_id: int, copy_id: int, saving: Saving, *, now: datetime) -> None:
    """Put a new draft into the Drafts folder, in the caller's transaction."""
    connection.execute(_SQL["insert_draft"], _row(mailbox_id, copy_id, saving, FIRST_VERSION, now=now))
    _put(connection, mailbox_id, copy_id, saving)


def replace(connection: Connection[Any], mailbox_id: int, draft: Draft, saving: Saving, *, now: datetime) -> int:
    """Put another version in the place of a draft that the caller has locked; return the new version's number."""
    version = draft.version + 1
    connection.execute(_SQL["update_draft"], _row(mailbox_id, draft.copy_id, saving, version, now=now))
    _clear(connection, mailbox_id, draft.copy_id)
    _put(connection, mailbox_id, draft.copy_id, saving)
    return version


def bring_back(connection: Connection[Any], mailbox_id: int, copy_id: int) -> None:
    """Put a draft that its author has moved away back into the Drafts folder."""
    if connection.execute(_SQL["bring_back"], _keys(mailbox_id, copy_id)).rowcount:
        announce_own(connection, mailbox_id, copy_id)


def remove(connection: Connection[Any], mailbox_id: int, copy_id: int) -> bool:
    """Remove a draft with its copy, wherever that lies; False when there is none, or none any more."""
    if not connection.execute(_SQL["delete_draft"], _keys(mailbox_id, copy_id)).rowcount:
        return False
    _clear(connection, mailbox_id, copy_id)
    announce_own(connection, mailbox_id, copy_id)
    return True


def _clear(connection: Connection[Any], mailbox_id: int, copy_id: int) -> None:
    keys = _keys(mailbox_id, copy_id)
    connection.execute(_SQL["lock_copy"], keys)
    connection.execute(_SQL["clear"], keys)


def _put(connection: Connection[Any], mailbox_id: int, copy_id: int, saving: Saving) -> None:
    store(connection, copy_id, saving.body_id, saving.listed, saving.content)
    connection.execute(_SQL["insert_copy"], {**_keys(mailbox_id, copy_id), "flags": Flag.SEEN | Flag.DRAFT})
    announce_own(connection, mailbox_id, copy_id)


def _row(mailbox_id: int, copy_id: int, saving: Saving, version: int, *, now: datetime) -> dict[str, object]:
    return {**_keys(mailbox_id, copy_id), "version": version, "fields": Jsonb(dict(saving.fields)), "now": now}


def _keys(mailbox_id: int, copy_id: int) -> dict[str, object]:
    return {"mailbox_id": mailbox_id, "copy_id": copy_id}
