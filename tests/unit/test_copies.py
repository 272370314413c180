"""R15: an author's own copy beside the recipients' copies; and the numbers that the shards store."""

import pytest

from mailrecall.domain.copies import Fact, Flag, Folder, author_copy_id, is_author_copy, message_of


@pytest.mark.rule(15)
@pytest.mark.parametrize("message_id", [2, 4, 1000, 2**62])
def test_r15_author_and_recipient_copies_of_one_message_have_ids_of_their_own(message_id: int):
    own = author_copy_id(message_id)
    assert own != message_id
    assert (is_author_copy(own), is_author_copy(message_id)) == (True, False)
    assert message_of(own) == message_of(message_id) == message_id
    assert own < message_id + 2  # the next message's id


@pytest.mark.rule(15)
def test_r15_the_author_copys_id_does_not_wander():
    assert author_copy_id(author_copy_id(8)) == author_copy_id(8)


def test_numbers_in_the_shards_never_change():
    assert {fact.name: fact.value for fact in Fact} == {
        "READ": 1,
        "ATTACHMENT_DOWNLOADED": 2,
        "FORWARDED": 4,
        "FETCHED_BY_POP3": 8,
        "DELETED": 16,
    }
    assert {flag.name: flag.value for flag in Flag} == {
        "SEEN": 1,
        "ANSWERED": 2,
        "FLAGGED": 4,
        "DELETED": 8,
        "DRAFT": 16,
    }
    assert {folder.slug: folder.value for folder in Folder} == {
        "inbox": 1,
        "sent": 2,
        "drafts": 3,
        "trash": 4,
        "junk": 5,
        "archive": 6,
    }


@pytest.mark.parametrize("folder", Folder)
def test_a_folders_name_leads_back_to_it(folder: Folder):
    assert Folder.from_slug(folder.slug) is folder


@pytest.mark.parametrize("slug", ["", "Outbox", "inbox/"])
def test_an_unknown_folder_is_refused_with_the_names_there_are(slug: str):
    with pytest.raises(ValueError, match=f"no folder '{slug}'; choose one of inbox, sent"):
        Folder.from_slug(slug)
