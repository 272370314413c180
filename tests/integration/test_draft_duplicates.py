"""R28: copies that the author of a draft made of it (IMAP COPY) stay what they were, whatever becomes of the draft."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Folder
from mailrecall.mailstore import drafts, imap, reading, residence
from mailrecall.mailstore.imap import Place
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company
from tests.drafting import create, duplicate, save, saving, send, shown
from tests.locks import until_somebody_waits_for_a_lock

CHANGES = pytest.mark.parametrize(("change", "folder"), [(save, Folder.DRAFTS), (send, Folder.SENT)])

Change = Callable[[Databases, Account, int, str], None]


@pytest.fixture
def author(databases: Databases) -> Account:
    return company.found(databases).people[0]


def delete(databases: Databases, author: Account, copy_id: int) -> None:
    with residence.mailbox(databases, author) as shard:
        reading.delete(shard, author.id, copy_id, permanent=True, now=clock.now())


def archived(databases: Databases, author: Account) -> int:
    with residence.mailbox(databases, author) as shard:
        (held,) = imap.look(shard, Place(author.id, Folder.ARCHIVE), now=clock.now()).messages
    return held.copy_id


@pytest.mark.rule(28)
@CHANGES
def test_r28_a_copy_of_a_version_outlives_the_one_that_came_after(
    databases: Databases, author: Account, change: Change, folder: Folder
):
    copy_id = create(databases, author, "first")
    with residence.mailbox(databases, author) as shard:
        duplicate(databases, shard, author)
    change(databases, author, copy_id, "second")
    assert [content for _, content in shown(databases, author, folder)] == [b"second"]
    delete(databases, author, copy_id)

    assert shown(databases, author, folder) == []
    assert shown(databases, author, Folder.ARCHIVE) == [(1, b"first")]


@pytest.mark.rule(28)
@CHANGES
def test_r28_a_copy_of_a_draft_stays_when_the_deleted_draft_goes_out_or_is_saved(
    databases: Databases, author: Account, change: Change, folder: Folder
):
    copy_id = create(databases, author, "first")
    with residence.mailbox(databases, author) as shard:
        duplicate(databases, shard, author)
        draft = drafts.lock(shard, author.id, copy_id)
        assert draft is not None
    delete(databases, author, copy_id)
    assert shown(databases, author, Folder.ARCHIVE) == [(1, b"first")]
    if change is send:
        send(databases, author, copy_id, "second")
    else:  # who had the draft locked before the deletion
        with residence.mailbox(databases, author) as shard:
            drafts.replace(shard, author.id, draft, saving(databases, "second"), now=clock.now())

    assert shown(databases, author, Folder.ARCHIVE) == [(1, b"first")]


@pytest.mark.rule(28)
def test_r28_a_version_is_gone_with_its_last_copy(databases: Databases, author: Account):
    copy_id = create(databases, author, "soon gone")
    with residence.mailbox(databases, author) as shard:
        duplicate(databases, shard, author)
    delete(databases, author, archived(databases, author))
    save(databases, author, copy_id, "stays")

    assert shown(databases, author, Folder.ARCHIVE) == []
    with databases.shard(author.shard) as shard:
        left = shard.execute("SELECT count(*) FROM body WHERE content = 'soon gone'").fetchone()
    assert left == (0,)


@pytest.mark.rule(28)
@CHANGES
def test_r28_a_copy_that_is_made_while_the_draft_changes_keeps_its_content(
    settings: Settings, databases: Databases, author: Account, change: Change, folder: Folder
):
    copy_id = create(databases, author, "first")
    shown(databases, author, Folder.DRAFTS)  # gives it a UID
    with ThreadPoolExecutor(1) as threads:
        with residence.mailbox(databases, author) as shard:
            duplicate(databases, shard, author)
            changing = threads.submit(change, databases, author, copy_id, "second")
            until_somebody_waits_for_a_lock(settings, shard=author.shard)
        changing.result()

    assert [content for _, content in shown(databases, author, folder)] == [b"second"]
    assert shown(databases, author, Folder.ARCHIVE) == [(1, b"first")]
