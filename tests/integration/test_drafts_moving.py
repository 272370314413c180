"""R28, R15: drafts of mailboxes that move to a shard that knows an older version of them."""

import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Folder
from mailrecall.mailstore import drafts, residence
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.shards import moving
from tests import company
from tests.drafting import create, duplicate, save, send, shown
from tests.moving import move


@pytest.fixture
def author(databases: Databases) -> Account:
    return next(one for one in company.found(databases).people if one.shard == 0)


def subjects(databases: Databases, shard: int, copy_id: int) -> list[str]:
    with databases.shard(shard) as connection:
        rows = connection.execute("SELECT subject FROM message WHERE id = %s", (copy_id,)).fetchall()
    return [row[0] for row in rows]


def contents(databases: Databases, shard: int, *texts: str) -> set[bytes]:
    with databases.shard(shard) as connection:
        rows = connection.execute(
            "SELECT content FROM body WHERE content = ANY (%s)", ([text.encode() for text in texts],)
        ).fetchall()
    return {bytes(row[0]) for row in rows}


@pytest.mark.rule(28)
def test_r28_a_draft_that_was_saved_elsewhere_comes_back_as_it_was_saved(
    settings: Settings, databases: Databases, author: Account
):
    copy_id = create(databases, author, "there first")
    move(settings, databases, [author], 1)
    save(databases, author, copy_id, "there second")
    move(settings, databases, [author], 0)

    with residence.mailbox(databases, author) as shard:
        draft = drafts.find(shard, author.id, copy_id)
    assert draft is not None
    assert (draft.version, draft.fields["text"], draft.content) == (2, "there second", b"there second")
    assert subjects(databases, 0, copy_id) == ["there second"]
    assert contents(databases, 0, "there first", "there second") == {
        b"there second"
    }  # nobody could ever reach it again


@pytest.mark.rule(28)
def test_r28_a_copy_of_a_version_that_was_replaced_elsewhere_comes_back_too(
    settings: Settings, databases: Databases, author: Account
):
    copy_id = create(databases, author, "kept first")
    with residence.mailbox(databases, author) as shard:
        duplicate(databases, shard, author)
    move(settings, databases, [author], 1)
    save(databases, author, copy_id, "kept second")
    move(settings, databases, [author], 0)

    assert [content for _, content in shown(databases, author, Folder.DRAFTS)] == [b"kept second"]
    assert shown(databases, author, Folder.ARCHIVE) == [(1, b"kept first")]


@pytest.mark.rule(15, 28)
def test_r15_r28_what_was_sent_elsewhere_comes_back_as_it_was_sent(
    settings: Settings, databases: Databases, author: Account
):
    copy_id = create(databases, author, "a draft")
    move(settings, databases, [author], 1)
    send(databases, author, copy_id, "as it was sent")
    move(settings, databases, [author], 0)

    assert shown(databases, author, Folder.SENT) == [(1, b"as it was sent")]
    assert subjects(databases, 0, copy_id) == ["as it was sent"]


@pytest.mark.rule(28)
@pytest.mark.parametrize("step", ["carried", "leaving", "left"])
def test_r28_a_draft_that_is_saved_after_a_move_was_given_up_moves_as_it_was_saved(
    settings: Settings, databases: Databases, author: Account, step: str
):
    copy_id = create(databases, author, f"before {step}")
    move(settings, databases, [author], 1, until=step)
    assert moving.end_interrupted(settings, databases, now=clock.now())
    save(databases, author, copy_id, f"after {step}")
    move(settings, databases, [author], 1)

    assert shown(databases, author, Folder.DRAFTS) == [(1, f"after {step}".encode())]
    assert contents(databases, 1, f"before {step}", f"after {step}") == {f"after {step}".encode()}
