"""R28, R15: drafts of mailboxes that move to a shard that knows an older version of them."""

import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Folder, author_copy_id, message_of
from mailrecall.mailstore import deposit, drafts, imap, residence
from mailrecall.mailstore.deposit import ListedMessage
from mailrecall.mailstore.drafts import Saving
from mailrecall.mailstore.imap import Place
from mailrecall.messages.ids import unused_ids
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.shards import moving
from tests import company
from tests.moving import move


@pytest.fixture
def author(databases: Databases) -> Account:
    return next(one for one in company.found(databases).people if one.shard == 0)


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
    copy_id = author_copy_id(unused_id(databases))
    with residence.mailbox(databases, author) as shard:
        drafts.create(shard, author.id, copy_id, saving(databases, text), now=clock.now())
    return copy_id


def save(databases: Databases, author: Account, copy_id: int, text: str) -> None:
    with residence.mailbox(databases, author) as shard:
        draft = drafts.lock(shard, author.id, copy_id)
        assert draft is not None
        drafts.replace(shard, author.id, draft, saving(databases, text), now=clock.now())


def send(databases: Databases, author: Account, copy_id: int, text: str) -> None:
    """Put the Sent copy in the place of a draft, as the delivery does."""
    with residence.mailbox(databases, author) as shard:
        assert drafts.remove(shard, author.id, copy_id)
        deposit.file_author_copy(shard, message_of(copy_id), author.id, listed(text), text.encode())


def shown(databases: Databases, author: Account, folder: Folder) -> list[bytes | None]:
    place = Place(author.id, folder)
    with residence.mailbox(databases, author) as shard:
        view = imap.look(shard, place, now=clock.now())
        return [imap.content(shard, place, held.uid) for held in view.messages]


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
    place = Place(author.id, Folder.DRAFTS)
    with residence.mailbox(databases, author) as shard:
        (held,) = imap.look(shard, place, now=clock.now()).messages
        imap.copy(shard, place, [held.uid], Folder.ARCHIVE, new_ids=[unused_id(databases)], now=clock.now())
    move(settings, databases, [author], 1)
    save(databases, author, copy_id, "kept second")
    move(settings, databases, [author], 0)

    assert shown(databases, author, Folder.DRAFTS) == [b"kept second"]
    assert shown(databases, author, Folder.ARCHIVE) == [b"kept first"]


@pytest.mark.rule(15, 28)
def test_r15_r28_what_was_sent_elsewhere_comes_back_as_it_was_sent(
    settings: Settings, databases: Databases, author: Account
):
    copy_id = create(databases, author, "a draft")
    move(settings, databases, [author], 1)
    send(databases, author, copy_id, "as it was sent")
    move(settings, databases, [author], 0)

    assert shown(databases, author, Folder.SENT) == [b"as it was sent"]
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

    assert shown(databases, author, Folder.DRAFTS) == [f"after {step}".encode()]
    assert contents(databases, 1, f"before {step}", f"after {step}") == {f"after {step}".encode()}
