"""Drafts for tests (R28), each with a text that is also its content."""

from typing import Any

from psycopg import Connection

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Folder, author_copy_id, message_of
from mailrecall.mailstore import deposit, drafts, imap, residence
from mailrecall.mailstore.deposit import ListedMessage
from mailrecall.mailstore.drafts import Saving
from mailrecall.mailstore.imap import Place
from mailrecall.messages.ids import unused_ids
from mailrecall.postgres.databases import Databases


def unused_id(databases: Databases) -> int:
    with databases.control() as connection:
        return unused_ids(connection, 1)[0]


def listed(text: str) -> ListedMessage:
    return ListedMessage(
        accepted_at=clock.now(), size=len(text), from_header="", to_header="", subject=text, preview=text, attachments=0
    )


def saving(databases: Databases, text: str) -> Saving:
    return Saving(fields={"text": text}, listed=listed(text), content=text.encode(), body_id=unused_id(databases))


def create(databases: Databases, author: Account, text: str) -> int:
    """Save a new draft; its id."""
    copy_id = author_copy_id(unused_id(databases))
    with residence.mailbox(databases, author) as shard:
        drafts.create(shard, author.id, copy_id, saving(databases, text), now=clock.now())
    return copy_id


def save(databases: Databases, author: Account, copy_id: int, text: str) -> None:
    """Save another version."""
    with residence.mailbox(databases, author) as shard:
        draft = drafts.lock(shard, author.id, copy_id)
        assert draft is not None
        drafts.replace(shard, author.id, draft, saving(databases, text), now=clock.now())


def send(databases: Databases, author: Account, copy_id: int, text: str) -> None:
    """Put the Sent copy in the place of a draft, as the delivery does."""
    with residence.mailbox(databases, author) as shard:
        assert drafts.remove(shard, author.id, copy_id)
        deposit.file_author_copy(shard, message_of(copy_id), author.id, listed(text), text.encode())


def duplicate(databases: Databases, shard: Connection[Any], author: Account) -> None:
    """Copy what lies in Drafts to Archive, as IMAP does, in the caller's transaction."""
    place = Place(author.id, Folder.DRAFTS)
    uids = [held.uid for held in imap.look(shard, place, now=clock.now()).messages]
    new_ids = [unused_id(databases) for _ in uids]
    imap.copy(shard, place, uids, Folder.ARCHIVE, new_ids=new_ids, now=clock.now())


def shown(databases: Databases, author: Account, folder: Folder) -> list[tuple[int, bytes | None]]:
    """UIDs and contents of what an IMAP client finds in a folder."""
    place = Place(author.id, folder)
    with residence.mailbox(databases, author) as shard:
        view = imap.look(shard, place, now=clock.now())
        return [(held.uid, imap.content(shard, place, held.uid)) for held in view.messages]
