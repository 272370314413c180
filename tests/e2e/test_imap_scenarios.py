"""Mail programs on the running house: what a recall is to them, and what they are to a recall."""

import asyncio
import itertools
import mailbox
import shutil
import smtplib
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from mailrecall import clock
from mailrecall.demo.client import Person, wait_for
from mailrecall.directory.lookup import Account
from mailrecall.domain.outcomes import Outcome
from mailrecall.mailstore import deposit
from mailrecall.mime.summary import summarise
from mailrecall.recalls.requests import Requested
from tests import company, correspondence
from tests.company import PASSWORD
from tests.e2e import crowd
from tests.e2e.people import Webmail, receive, settled
from tests.e2e.test_corpus_roundtrip import CORPUS, OWN, needs_corpus, on_the_wire
from tests.imap import Client
from tests.stack import Stack

needs_mbsync = pytest.mark.skipif(
    shutil.which("mbsync") is None, reason="mbsync is not installed; `apt-get install isync` brings it"
)
needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="curl is not installed; `apt-get install curl` brings it"
)


def written(webmail: Webmail, sender: Account, reader: Account) -> tuple[Person, str]:
    """A message written in webmail, delivered; its author and its link in the Sent folder."""
    author = webmail(sender)
    message = {"to": [reader.address], "subject": "Plans", "text": "Hello"}
    sent = author.ask("POST", "/messages", json=message).json()
    receive(webmail(reader), "Plans")
    return author, sent["id"]


def recalled(author: Person, sent: str) -> dict[str, int]:
    """Recall a message; how it ended for how many."""
    asked = author.ask("POST", "/recalls", json={"message_id": sent, "reason": "The wrong plans"})
    outcomes: dict[str, int] = settled(author, asked.json()["id"])["outcomes"]
    return outcomes


@pytest.mark.rule(9)
def test_r9_an_idling_mail_program_loses_a_recalled_message_at_once(stack, webmail):
    sender, reader = company.found(stack.databases, people=2).people
    author, sent = written(webmail, sender, reader)
    with Client(stack.imap, reader) as client:
        assert len(client.uids()) == 1
        client.idle()
        author.ask("POST", "/recalls", json={"message_id": sent, "reason": "The wrong plans"})
        assert client.told() == b"* 1 EXPUNGE"
        told = clock.now()
        with stack.databases.shard(reader.shard) as shard:
            done = shard.execute("SELECT max(done_at) FROM withdrawal").fetchone()
        assert done is not None
        assert (told - done[0]).total_seconds() < 1
        assert client.done() == [b"* 0 RECENT"]
    assert recalled(author, sent) == {"recalled": 1}


@pytest.mark.parametrize("files", [OWN, pytest.param(CORPUS, marks=needs_corpus)], ids=["our own", "corpus"])
def test_whatever_comes_in_over_lmtp_goes_out_over_imap_octet_for_octet(stack: Stack, files: list[Path]):
    (reader,) = company.found(stack.databases, people=1).people
    with smtplib.LMTP(*stack.lmtp) as client:
        client.ehlo()
        for file in files:
            client.mail("someone@elsewhere.example", ["BODY=8BITMIME"])
            client.rcpt(reader.address)
            code, said = client.data(on_the_wire(file))
            assert code == 250, said
    with Client(stack.imap, reader) as client:
        wait_for("All messages in the inbox", lambda: len(client.uids()) == len(files) or None)
        listed = client.ok("FETCH", "1:*", "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)")
        assert len(
            [item for item in listed if b"RFC822.SIZE" in (item if isinstance(item, bytes) else item[0])]
        ) == len(files)
        came = Counter(without_trace(client.octets(uid, "BODY.PEEK[]")) for uid in client.uids())
    assert came == Counter(on_the_wire(file) for file in files)


def without_trace(octets: bytes) -> bytes:
    """Take off the two fields that delivery puts in front, the second of them folded."""
    lines = octets.split(b"\r\n")
    assert lines[0].startswith(b"Return-Path:")
    assert lines[1].startswith(b"Received:")
    trace = 2 + len(list(itertools.takewhile(lambda line: line.startswith(b"\t"), lines[2:])))
    return b"\r\n".join(lines[trace:])


def fill(stack: Stack, reader: Account, count: int) -> None:
    """Put messages into an inbox, straight into the store: how they come is not looked at here."""
    with stack.databases.shard(reader.shard) as shard:
        for number in range(count):
            content = (
                f"From: a@example.org\r\nSubject: {number}\r\nMessage-ID: <{number}@x>\r\n\r\n{number}\r\n".encode()
            )
            summary = summarise(content)
            listed = deposit.ListedMessage(
                accepted_at=clock.now(),
                size=len(content),
                from_header=summary.from_header,
                to_header=summary.to_header,
                subject=summary.subject,
                preview=summary.preview,
                attachments=summary.attachments,
            )
            message_id = 10_000_000_000 + reader.id * 10_000 + 2 * number
            deposit.deposit(shard, message_id, 1, listed, content, mailbox_ids=[reader.id], via=[0])


class Mbsync:
    """mbsync with a Maildir of its own, over STARTTLS with the stack's certificate."""

    def __init__(self, stack: Stack, reader: Account, folder: Path) -> None:
        self.inbox = folder / "mail" / "inbox"
        self._configuration = folder / "mbsyncrc"
        self.inbox.parent.mkdir()
        self._configuration.write_text(
            f"""
IMAPAccount house
Host localhost
Port {stack.imap[1]}
User {reader.address}
Pass "{PASSWORD}"
SSLType STARTTLS
CertificateFile {stack.session.state.environment["MAILRECALL_TLS_CERTIFICATE"]}

IMAPStore far
Account house

MaildirStore near
Path {folder}/mail/
Inbox {self.inbox}

Channel inbox
Far :far:INBOX
Near :near:inbox
Create Near
Expunge Both
CopyArrivalDate yes
SyncState *
"""
        )

    def sync(self) -> str:
        """Synchronise; what it did, as it says."""
        done = subprocess.run(
            ["mbsync", "--config", str(self._configuration), "--verbose", "inbox"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def maildir(self) -> mailbox.Maildir:
        return mailbox.Maildir(self.inbox, create=False)


@pytest.fixture
def reader(stack: Stack) -> Account:
    return company.found(stack.databases, people=1).people[0]


@needs_mbsync
def test_mbsync_keeps_a_thousand_messages_alike_on_both_sides(stack: Stack, reader: Account, tmp_path: Path):
    fill(stack, reader, 600)
    sync = Mbsync(stack, reader, tmp_path)
    sync.sync()
    assert len(sync.maildir) == 600
    for number in range(600, 1000):
        sync.maildir.add(f"From: a@example.org\nSubject: {number}\nMessage-ID: <{number}@x>\n\n{number}\n".encode())
    some_key = next(key for key, message in sync.maildir.items() if message["Subject"] == "17")
    flagged = sync.maildir[some_key]
    flagged.set_flags("FS")
    sync.maildir[some_key] = flagged
    sync.sync()
    with Client(stack.imap, reader) as client:
        assert len(client.uids()) == 1000
        assert sorted(int(m["Subject"]) for m in sync.maildir) == list(range(1000))
        (changed,) = client.uids("FLAGGED SEEN")
        assert client.octets(changed, "BODY.PEEK[HEADER.FIELDS (SUBJECT)]") == b"Subject: 17\r\n\r\n"
        client.ok("STORE", str(changed), "+FLAGS", r"(\Deleted)")
        client.expunge()
    sync.sync()
    assert len(sync.maildir) == 999
    before = snapshot(sync.inbox)
    # a second run finds nothing to do on either side
    sync.sync()
    assert snapshot(sync.inbox) == before
    with Client(stack.imap, reader) as client:
        assert client.status("INBOX", "(MESSAGES UIDNEXT)")[1] == [b"INBOX (MESSAGES 999 UIDNEXT 1001)"]


def snapshot(folder: Path) -> dict[str, int]:
    """The mail files of a Maildir and their sizes."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.glob("[cn]*/*")}


@pytest.mark.rule(2)
@needs_mbsync
def test_r2_mail_that_mbsync_brought_home_unread_is_recalled_there_too(stack, webmail, tmp_path):
    sender, reader = company.found(stack.databases, people=2).people
    author, sent = written(webmail, sender, reader)
    sync = Mbsync(stack, reader, tmp_path)
    sync.sync()
    assert [message["Subject"] for message in sync.maildir] == ["Plans"]
    assert recalled(author, sent) == {"recalled": 1}
    sync.sync()
    assert list(sync.maildir) == []


@pytest.mark.rule(2)
@needs_curl
def test_r2_what_curl_fetches_is_read(stack, webmail):
    sender, reader = company.found(stack.databases, people=2).people
    author, sent = written(webmail, sender, reader)
    url = f"imap://localhost:{stack.imap[1]}/INBOX;UID=1"
    certificate = stack.session.state.environment["MAILRECALL_TLS_CERTIFICATE"]
    fetched = subprocess.run(
        ["curl", "-sS", "--ssl-reqd", "--cacert", certificate, "--user", f"{reader.address}:{PASSWORD}", url],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"Subject: Plans\r\n" in fetched.stdout
    assert recalled(author, sent) == {"already_read": 1}


MEMBERS, PROGRAMS, READERS = 10_000, 200, 20


@pytest.fixture(scope="module")
def everyone(stack: Stack) -> tuple[Account, list[tuple[int, str]], int]:
    """Somebody who wrote to ten thousand others, all of whom have got it."""
    firm = company.found(stack.databases, people=1)
    accounts = crowd.hire_many(stack.databases, firm, MEMBERS)
    team = crowd.team_of(stack.databases, firm, [account_id for account_id, _ in accounts])
    sender = firm.people[0]
    message_id = correspondence.send(stack.databases, sender, team)

    def delivered() -> bool | None:
        with stack.databases.control() as connection:
            row = connection.execute("SELECT delivered_at FROM message WHERE id = %s", (message_id,)).fetchone()
        return bool(row and row[0]) or None

    wait_for("The delivery", delivered)
    return sender, accounts, message_id


@pytest.mark.rule(2, 9)
@pytest.mark.timeout(240)
def test_r2_r9_two_hundred_mail_programs_and_a_recall_of_ten_thousand_copies_go_together(stack, everyone):
    sender, accounts, message_id = everyone

    async def scene() -> int:
        programs = crowd.people(accounts, PROGRAMS)
        await asyncio.gather(*(program.begin(stack.imap) for program in programs))
        readers, idlers, lookers = programs[:READERS], programs[READERS:110], programs[110:]
        for reader in readers:
            await reader.run("UID FETCH 1 BODY[TEXT]")
        over = asyncio.Event()
        looking = [asyncio.create_task(looker.look_around(over)) for looker in lookers]
        idling = [asyncio.create_task(idler.idle_until(b"* 1 EXPUNGE")) for idler in idlers]
        asked = await asyncio.to_thread(correspondence.ask, stack.databases, sender, message_id)
        assert isinstance(asked, Requested)
        await asyncio.gather(*idling)
        over.set()
        await asyncio.gather(*looking)
        for looker in lookers:
            await looker.run("NOOP")
            assert b"* 1 EXPUNGE" in looker.told
        for reader in readers:
            await reader.run("UID FETCH 1 BODY[TEXT]")
        assert min(looker.answered for looker in lookers) >= 6
        await asyncio.gather(*(program.leave() for program in programs))
        return asked.recall.id

    log = stack.session.folder.log_of("imap")
    before = log.stat().st_size
    recall_id = asyncio.run(scene())
    counts = wait_for("All outcomes", lambda: complete(stack, recall_id))
    assert counts == Counter({Outcome.RECALLED: MEMBERS - READERS, Outcome.ALREADY_READ: READERS})
    said = log.read_bytes()[before:]
    assert b"imap.session_failed" not in said
    assert b"imap.database_failed" not in said


def complete(stack: Stack, recall_id: int) -> Counter[Outcome] | None:
    counts = correspondence.ledger(stack.databases, recall_id).counts
    return counts if counts.total() == MEMBERS else None
