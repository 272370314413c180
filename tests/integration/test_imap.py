"""IMAP as mail programs use it: folders, UIDs, news while idling, TLS, and limits that no client passes."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.mailstore import reading
from mailrecall.mime import sections
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch, imap
from tests.company import Company
from tests.imap import Client, Imap
from tests.post import deliver

ROOT = Path(__file__).parents[2]
MESSAGES = sorted((ROOT / "tests" / "messages").glob("*.eml"))
CORPUS = sorted((ROOT.parent / "shared" / "corpus").glob("*.eml"))
PLAIN = (ROOT / "tests" / "messages" / "plain.eml").read_bytes()


@pytest.fixture(scope="module")
def server(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imap]:
    with imap.running(settings, tmp_path_factory.mktemp("imap")) as running:
        yield running


@pytest.fixture
def staff(databases: Databases) -> Company:
    return company.found(databases, people=2)


@pytest.fixture
def reader(staff: Company) -> Account:
    return staff.people[1]


@pytest.fixture
def delivered(databases: Databases, settings: Settings, staff: Company) -> list[int]:
    """Three messages in the reader's inbox."""
    return [deliver(databases, settings, PLAIN, staff.people[0], staff.people[1]) for _ in range(3)]


def validity(client: Client) -> int:
    (_, values) = client.response("UIDVALIDITY")
    return int(values[0])


def test_an_idling_client_sees_a_withdrawal_within_a_second(
    databases: Databases, settings: Settings, server: Imap, staff: Company, delivered: list[int]
):
    with Client(server.address, staff.people[1]) as client:
        client.idle()
        answer = correspondence.ask(databases, staff.people[0], delivered[1])
        dispatch.run(Process(settings, databases))
        settled = time.monotonic()
        assert client.told() == b"* 2 EXPUNGE"
        assert time.monotonic() - settled < 1
        client.done()
        assert client.uids() == [1, 3]
    assert answer is not None


def test_an_idling_client_sees_what_others_do(
    databases: Databases, settings: Settings, server: Imap, staff: Company, delivered: list[int]
):
    reader = staff.people[1]
    with Client(server.address, reader) as client, Client(server.address, reader) as other:
        client.idle()
        deliver(databases, settings, PLAIN, staff.people[0], reader)
        assert client.told() == b"* 4 EXISTS"
        assert client.told() == b"* 4 RECENT"
        assert client.told().startswith(b"* 4 FETCH (FLAGS (")
        other.ok("STORE", "1", "+FLAGS", r"(\Flagged)")
        assert client.told() == rb"* 1 FETCH (FLAGS (\Flagged \Recent))"
        with databases.shard(reader.shard) as shard:
            reading.open_copy(shard, reader.id, delivered[1], now=clock.now())
        assert client.told() == rb"* 2 FETCH (FLAGS (\Recent \Seen))"
        other.ok("MOVE", "3", "Trash")
        assert client.told() == b"* 3 EXPUNGE"
        assert client.done() == [b"* 3 RECENT"]


def test_news_is_told_after_the_listening_connection_was_lost(
    databases: Databases, server: Imap, reader: Account, delivered: list[int]
):
    with Client(server.address, reader) as client:
        client.idle()
        with databases.shard(reader.shard) as shard:
            ended = shard.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'mailrecall-imap-watch' AND datname = current_database()"
            ).fetchall()
            assert ended == [(True,)]
        with databases.shard(reader.shard) as shard:
            reading.delete(shard, reader.id, delivered[0], permanent=True, now=clock.now())
        assert client.told() == b"* 1 EXPUNGE"


def test_uids_and_their_validity_outlive_the_server(
    settings: Settings, tmp_path: Path, reader: Account, delivered: list[int]
):
    with imap.running(settings, tmp_path) as first, Client(first.address, reader) as client:
        before = validity(client), client.uids()
        client.ok("STORE", "1", "+FLAGS", r"(\Deleted)")
        client.expunge()
    with imap.running(settings, tmp_path) as second, Client(second.address, reader) as client:
        assert validity(client) == before[0]
        assert client.uids() == before[1][1:]
        assert client.status("INBOX", "(UIDNEXT)")[1] == [b"INBOX (UIDNEXT 4)"]


def test_the_folders_and_their_special_uses(server: Imap, reader: Account):
    with Client(server.address, reader, None) as client:
        _, lines = client.list()
        assert lines == [
            rb'(\HasNoChildren) "/" INBOX',
            *(rb'(\HasNoChildren \%s) "/" %s' % (n, n) for n in (b"Sent", b"Drafts", b"Trash", b"Junk", b"Archive")),
        ]
        assert client.list('""', "A*")[1] == [rb'(\HasNoChildren \Archive) "/" Archive']
        assert client.lsub()[1] == lines
        assert client.select("inbox")[0] == "OK"
        for refused in (
            client.create("Projects"),
            client.delete("Trash"),
            client.rename("Junk", "Spam"),
            client.unsubscribe("Sent"),
            client.select("Projects"),
        ):
            assert refused[0] == "NO"


def test_copy_move_append_tell_the_new_uids(server: Imap, reader: Account, delivered: list[int]):
    with Client(server.address, reader) as client:
        client.ok("COPY", "1:2", "Archive")
        assert re.fullmatch(rb"\d+ 1:2 1:2", client.response("COPYUID")[1][0])
        client.ok("MOVE", "3", "Archive")
        assert re.fullmatch(rb"\d+ 3 3", client.response("COPYUID")[1][0])
        client.append("Archive", r"(\Seen \Flagged)", '"01-Feb-2024 10:00:00 +0100"', PLAIN)
        assert re.fullmatch(rb"\d+ 4", client.response("APPENDUID")[1][0])
        assert client.uids() == [1, 2]
        assert client.open_folder("Archive") == 4
        (answer,) = client.ok("FETCH", "4", "(FLAGS INTERNALDATE)")
        assert rb"FLAGS (\Flagged \Recent \Seen)" in answer or rb"FLAGS (\Flagged \Seen)" in answer
        assert b'INTERNALDATE "01-Feb-2024 09:00:00 +0000"' in answer


@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        ("ALL", [1, 2, 3]),
        ("SEEN", [2]),
        ("NOT SEEN", [1, 3]),
        ("FLAGGED SEEN", []),
        ("OR FLAGGED SEEN", [2, 3]),
        ("UID 2:*", [2, 3]),
        ('SUBJECT "attach"', []),
        ('SUBJECT "Four files"', [1]),
        ("FROM ada@example.org", [1, 2, 3]),
        ("HEADER Message-ID attachments@", [1]),
        ("LARGER 700", [1]),
        ("BODY nobody-wrote-this", []),
        ("SENTBEFORE 1-Jan-1990", []),
    ],
)
def test_search(server: Imap, searched: Account, criteria: str, found: list[int]):
    with Client(server.address, searched) as client:
        assert client.uids(criteria) == found


@pytest.mark.parametrize(
    ("criteria", "answer"),
    [
        (b'TEXT "\xe6\x92\xa4"', b"c BAD "),
        (b'CHARSET UTF-8 TEXT "\xe6\x92"', b"c BAD "),
        (b'CHARSET "\xff" TEXT "x"', b"c NO [BADCHARSET] "),
        (b"CHARSET utf-16 ALL", b"c NO [BADCHARSET] "),
        (b"CHARSET x-unknown ALL", b"c NO [BADCHARSET] "),
        (b"CHARSET punycode TEXT " + b"b9a" * 50_000, b"c NO [BADCHARSET] "),
        (b'CHARSET UTF-8 HEADER "\xe6\x92\xa4" "x"', b"c NO [CANNOT] "),
        (b"(" * 1_000 + b"ALL" + b")" * 1_000, b"c BAD "),
        (b"OR ALL " * 400 + b"ALL", b"c NO [CANNOT] "),
    ],
    ids=lambda given: repr(given[:30]),
)
def test_a_search_that_cannot_be_made_is_refused_and_the_session_goes_on(
    server: Imap, searched: Account, criteria: bytes, answer: bytes
):
    with Client(server.address, searched) as client:
        client.send(b"c UID SEARCH " + criteria + b"\r\nd UID SEARCH SEEN\r\n")
        assert client.readline().startswith(answer)
        assert client.readline() == b"* SEARCH 2\r\n"


@pytest.fixture(scope="module")
def searched(databases: Databases, settings: Settings, server: Imap) -> Account:
    """Somebody with three messages, the second read and the third flagged."""
    sender, reader = company.found(databases, people=2).people
    for name in ("attachments", "plain", "dots"):
        deliver(databases, settings, (ROOT / "tests" / "messages" / f"{name}.eml").read_bytes(), sender, reader)
    with Client(server.address, reader) as client:
        client.ok("STORE", "2", "+FLAGS", r"(\Seen)")
        client.ok("STORE", "3", "+FLAGS", r"(\Flagged)")
    return reader


def test_whatever_came_in_goes_out_octet_for_octet_and_breaks_no_list(
    databases: Databases, settings: Settings, server: Imap, staff: Company
):
    contents = [path.read_bytes() for path in [*MESSAGES, *CORPUS]]
    for content in contents:
        deliver(databases, settings, content, staff.people[0], staff.people[1])
    with Client(server.address, staff.people[1]) as client:
        assert len(client.uids()) == len(contents)
        listed = client.ok("FETCH", "1:*", "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY)")
        heads = [item if isinstance(item, bytes) else item[0] for item in listed]
        assert sum(re.match(rb"\d+ \(FLAGS ", head) is not None for head in heads) == len(contents)
        for uid, content in enumerate(contents, 1):
            assert client.octets(uid, "BODY.PEEK[]") == content
            message = sections.parse(content)
            assert client.octets(uid, "BODY.PEEK[HEADER]") == message.header.of(content)
            assert client.octets(uid, "BODY.PEEK[TEXT]") == message.body.of(content)
            assert client.octets(uid, "BODY.PEEK[]<7.50>") == content[7:57]


@pytest.mark.parametrize(
    ("uid", "attribute", "expected"),
    [
        (1, "BODY.PEEK[1]", b"See below."),
        (1, "BODY.PEEK[2.MIME]", b"Content-Type: message/rfc822\r\n\r\n"),
        (1, "BODY.PEEK[2.HEADER.FIELDS (SUBJECT)]", b"Subject:   Minutes,   with  odd   spacing\r\n\r\n"),
        (1, "BODY.PEEK[2.1]", b"inner words"),
        (1, "BODY.PEEK[2.TEXT]<2.6>", b"b2\r\nCo"),
        (1, "BODY.PEEK[2.2]", b"UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="),
        (1, "BINARY.PEEK[2.2]", b"PK\x05\x06" + bytes(18)),
        (1, "BODY.PEEK[3]", b""),
        (2, "BODY.PEEK[5]", b"1,2,3"),
        (2, "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT FROM TO MESSAGE-ID MIME-VERSION)]", None),
    ],
)
def test_sections(server: Imap, nested: Account, uid: int, attribute: str, expected: bytes | None):
    with Client(server.address, nested) as client:
        found = client.octets(uid, attribute)
    if expected is None:
        assert [line.partition(b":")[0] for line in found.splitlines()] == [b"Content-Type", b""]
    else:
        assert found == expected


@pytest.fixture(scope="module")
def nested(databases: Databases, settings: Settings) -> Account:
    """Somebody with a message in a message, and one with many parts."""
    sender, reader = company.found(databases, people=2).people
    for name in ("enclosed", "attachments"):
        deliver(databases, settings, (ROOT / "tests" / "messages" / f"{name}.eml").read_bytes(), sender, reader)
    return reader
