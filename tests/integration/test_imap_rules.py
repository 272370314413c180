"""What a mail program does to a message over IMAP, and what a recall then makes of it (R2, R4, R5, R9)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailrecall.domain.outcomes import Outcome
from mailrecall.postgres.databases import Databases
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch, imap
from tests.company import Company
from tests.imap import Client, Imap
from tests.post import deliver

MESSAGES = Path(__file__).parents[1] / "messages"
WITH_FILES = (MESSAGES / "attachments.eml").read_bytes()
PLAIN = (MESSAGES / "plain.eml").read_bytes()

RECALLED, READ, TAKEN = Outcome.RECALLED, Outcome.ALREADY_READ, Outcome.ATTACHMENT_DOWNLOADED


@pytest.fixture(scope="module")
def server(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imap]:
    with imap.running(settings, tmp_path_factory.mktemp("imap")) as running:
        yield running


@pytest.fixture(scope="module")
def staff(databases: Databases) -> Company:
    return company.found(databases)


class Story:
    """A message with attachments from the first person to the second, who uses a mail program, and its recall."""

    def __init__(
        self, databases: Databases, settings: Settings, server: Imap, staff: Company, content: bytes = WITH_FILES
    ) -> None:
        self._databases, self._settings = databases, settings
        self.server = server
        self.sender, self.reader = staff.people[:2]
        self.message_id = deliver(databases, settings, content, self.sender, self.reader)

    def using(self, folder: str = "INBOX") -> Client:
        return Client(self.server.address, self.reader, folder)

    def uid(self, client: Client) -> int:
        return client.uids()[-1]

    def outcome(self) -> Outcome:
        """Recall the message; how it ended for the reader."""
        answer = correspondence.ask(self._databases, self.sender, self.message_id)
        assert isinstance(answer, Requested)
        dispatch.run(Process(self._settings, self._databases))
        return correspondence.ledger(self._databases, answer.recall.id).of(self.reader)


@pytest.fixture
def story(databases: Databases, settings: Settings, server: Imap, staff: Company) -> Story:
    return Story(databases, settings, server, staff)


def fetch(attributes: str) -> Callable[[Client, int], object]:
    return lambda client, uid: client.ok("FETCH", str(uid), attributes)


def store(how: str, flags: str) -> Callable[[Client, int], object]:
    return lambda client, uid: client.ok("STORE", str(uid), how, flags)


@pytest.mark.rule(2, 5)
@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda client, _: client.list(), RECALLED),
        (lambda client, _: client.status("INBOX", "(MESSAGES UNSEEN)"), RECALLED),
        (lambda client, _: client.uids("TEXT hello"), RECALLED),
        (fetch("(FLAGS INTERNALDATE RFC822.SIZE)"), RECALLED),
        (fetch("ALL"), RECALLED),
        (fetch("FULL"), RECALLED),
        (fetch("(ENVELOPE BODYSTRUCTURE)"), RECALLED),
        (fetch("RFC822.HEADER"), RECALLED),
        (fetch("BODY.PEEK[HEADER]"), RECALLED),
        (fetch("BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)]"), RECALLED),
        (fetch("BODY.PEEK[2.MIME]"), RECALLED),
        (fetch("BODY.PEEK[1]"), RECALLED),
        (fetch("BODY.PEEK[TEXT]<0.40>"), RECALLED),
        (store("+FLAGS", r"(\Flagged \Answered \Deleted)"), RECALLED),
        (store("FLAGS", r"(\Flagged)"), RECALLED),
        (store("-FLAGS", r"(\Seen)"), RECALLED),
        (fetch("BODY[1]"), READ),
        (fetch("BODY[HEADER]"), READ),
        (fetch("BODY[TEXT]<0.1>"), READ),
        (fetch("BODY[]"), READ),
        (fetch("RFC822"), READ),
        (fetch("RFC822.TEXT"), READ),
        (store("+FLAGS", r"(\Seen)"), READ),
        (store("+FLAGS.SILENT", r"(\Seen)"), READ),
        (store("FLAGS", r"(\Seen \Flagged)"), READ),
        (fetch("BODY.PEEK[2]"), TAKEN),
        (fetch("BODY.PEEK[2]<0.10>"), TAKEN),
        (fetch("BINARY.PEEK[2]"), TAKEN),
        (fetch("BODY.PEEK[]"), TAKEN),
        (fetch("BODY.PEEK[TEXT]"), TAKEN),
    ],
)
def test_r2_r5_what_a_command_means(story: Story, act: Callable[[Client, int], object], expected: Outcome):
    with story.using() as client:
        act(client, story.uid(client))
        # known from other commands, as a mail program would see it
        seen = client.uids(f"UID {story.uid(client)} SEEN")
    assert bool(seen) is (expected is READ)
    assert story.outcome() is expected


@pytest.mark.rule(2)
def test_r2_a_message_without_attachments_fetched_whole_with_peek_is_unread(
    databases: Databases, settings: Settings, server: Imap, staff: Company
):
    story = Story(databases, settings, server, staff, PLAIN)
    with story.using() as client:
        assert client.octets(story.uid(client), "BODY.PEEK[]") == PLAIN
    assert story.outcome() is RECALLED


@pytest.mark.rule(2)
def test_r2_a_message_marked_unread_stays_read(story: Story):
    with story.using() as client:
        uid = story.uid(client)
        client.ok("STORE", str(uid), "+FLAGS", r"(\Seen)")
        client.ok("STORE", str(uid), "-FLAGS", r"(\Seen)")
        assert client.uids(f"UID {uid} UNSEEN") == [uid]
    assert story.outcome() is READ


@pytest.mark.rule(2)
def test_r2_what_was_recalled_meanwhile_is_not_said_to_be_seen(story: Story):
    with story.using() as client:
        uid = story.uid(client)
        # between two commands of the mail program
        assert story.outcome() is RECALLED
        (flags,) = client.ok("STORE", str(uid), "+FLAGS", r"(\Seen)")
        _, (code,) = client.response("EXPUNGEISSUED")
    assert b"Seen" not in flags
    assert code is not None


@pytest.mark.rule(2)
def test_r2_reading_in_a_folder_opened_read_only_is_a_read_too(story: Story):
    with story.using() as client:
        client.open_folder("INBOX", readonly=True)
        uid = story.uid(client)
        client.ok("FETCH", str(uid), "BODY[1]")
        assert client.uids(f"UID {uid} UNSEEN") == [uid]
    assert story.outcome() is READ


@pytest.mark.rule(9)
def test_r9_a_message_moved_to_another_folder_is_recalled_there(story: Story):
    with story.using() as client:
        client.ok("MOVE", str(story.uid(client)), "Archive")
        before = client.open_folder("Archive")
        assert story.outcome() is RECALLED
        assert client.open_folder("Archive") == before - 1


@pytest.mark.rule(9)
def test_r9_a_copy_of_a_copy_goes_with_it(story: Story):
    with story.using() as client:
        client.ok("COPY", str(story.uid(client)), "Archive")
        archived = client.open_folder("Archive")
        client.ok("COPY", str(story.uid(client)), "Junk")
        assert client.open_folder("Junk") == 1
        assert story.outcome() is RECALLED
        assert client.open_folder("Junk") == 0
        assert client.open_folder("Archive") == archived - 1


@pytest.mark.rule(2)
def test_r2_reading_a_copy_of_a_copy_reads_it(story: Story):
    with story.using() as client:
        client.ok("COPY", str(story.uid(client)), "Archive")
        client.open_folder("Archive")
        client.ok("FETCH", str(story.uid(client)), "BODY[1]")
    assert story.outcome() is READ


@pytest.mark.rule(9)
def test_r9_what_was_copied_and_deleted_is_still_there_until_the_copy_is_deleted_too(story: Story):
    with story.using() as client:
        uid = story.uid(client)
        client.ok("COPY", str(uid), "Archive")
        client.ok("STORE", str(uid), "+FLAGS", r"(\Deleted)")
        client.ok("EXPUNGE", str(uid))
        assert uid not in client.uids()
    assert story.outcome() is RECALLED


@pytest.mark.rule(9)
def test_r9_an_expunged_message_is_gone(story: Story):
    with story.using() as client:
        uid = story.uid(client)
        client.ok("STORE", str(uid), "+FLAGS", r"(\Deleted)")
        client.expunge()
        assert uid not in client.uids()
    assert story.outcome() is Outcome.GONE


@pytest.mark.rule(1)
def test_r1_a_message_that_its_owner_appended_is_nobody_s_to_recall(story: Story, databases: Databases):
    with story.using("Drafts") as client:
        status, data = client.append("Drafts", r"\Draft", "", PLAIN)
        assert status == "OK", data
        client.open_folder("Drafts")
        uid = story.uid(client)
        assert client.octets(uid, "BODY.PEEK[]") == PLAIN
    with databases.shard(story.reader.shard) as shard:
        found = shard.execute(
            "SELECT message_id FROM copy WHERE mailbox_id = %s AND uid = %s AND folder = 3", (story.reader.id, uid)
        ).fetchone()
    assert found is not None
    for person in (story.sender, story.reader):
        assert not isinstance(correspondence.ask(databases, person, found[0]), Requested)
