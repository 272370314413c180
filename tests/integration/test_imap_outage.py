"""IMAP when a shard does not answer, and what strangers send."""

import imaplib
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.embedded.deadlines import poll
from mailrecall.mailstore import reading
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company, imap
from tests.company import PASSWORD
from tests.imap import Client, Imap
from tests.listening import PATIENCE
from tests.post import deliver

PLAIN = (Path(__file__).parents[1] / "messages" / "plain.eml").read_bytes()


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Iterator[Imap]:
    with imap.running(settings, tmp_path, statement_timeout=0.5) as running:
        yield running


@pytest.fixture
def reader(databases: Databases, settings: Settings) -> Account:
    """Somebody with two messages."""
    sender, reader = company.found(databases, people=2).people
    for _ in range(2):
        deliver(databases, settings, PLAIN, sender, reader)
    return reader


@contextmanager
def locked(settings: Settings, reader: Account, table: str) -> Iterator[None]:
    """Let nobody else into a table of the reader's shard."""
    with psycopg.connect(settings.shard_urls[reader.shard]) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield
        connection.rollback()


def test_a_command_that_the_store_does_not_answer_is_refused_for_now(settings: Settings, server: Imap, reader: Account):
    with Client(server.address, reader) as client:
        with locked(settings, reader, "copy"):
            for command in (("NOOP",), ("UID", "STORE", "1", "+FLAGS", r"(\Seen)"), ("UID", "FETCH", "1", "BODY[]")):
                status, words = client._simple_command(*command)
                assert (status, words) == ("NO", [b"[UNAVAILABLE] The mail store does not answer; try again later."])
        assert client.noop()[0] == "OK"
        assert client.uids("UNSEEN") == [1, 2]
        assert client.octets(1, "BODY[]") == PLAIN


def test_content_that_cannot_be_had_is_refused_before_the_answer_begins(
    settings: Settings, server: Imap, reader: Account
):
    with Client(server.address, reader) as client:
        with locked(settings, reader, "body"):
            status, words = client._simple_command("UID", "FETCH", "1:*", "BODY.PEEK[]")
            assert (status, words[0][:13]) == ("NO", b"[UNAVAILABLE]")
        assert client.octets(2, "BODY.PEEK[]") == PLAIN


def test_an_idling_client_hears_the_news_once_the_store_answers_again(
    databases: Databases, settings: Settings, server: Imap, reader: Account
):
    newest, _ = newest_first(databases, reader)
    with Client(server.address, reader) as client:
        client.idle()
        with locked(settings, reader, "copy"):
            wake(databases, reader)
            assert poll(lambda: "imap.database_failed" in server.log.read_text(), timeout=PATIENCE)
        with databases.shard(reader.shard) as shard:
            reading.mark_read(shard, reader.id, newest, now=clock.now())
        assert client.told() == rb"* 2 FETCH (FLAGS (\Recent \Seen))"


@contextmanager
def no_look(databases: Databases, reader: Account, client: Client) -> Iterator[None]:
    """Let nobody look at the inbox, where something new waits for its UID; other folders can be put into."""
    settings = databases.settings
    with psycopg.connect(settings.shard_urls[reader.shard]) as connection:
        connection.execute("SELECT FROM folder WHERE mailbox_id = %s AND folder = 1 FOR UPDATE", (reader.id,))
        deliver(databases, settings, PLAIN, company.found(databases, people=1).people[0], reader)
        # from the first look that fails, each command looks
        assert poll(lambda: client.noop()[0] == "NO", timeout=PATIENCE)
        yield
        connection.rollback()


@pytest.mark.parametrize(
    ("command", "left"),
    [
        (lambda client: client.append("Archive", "", "", PLAIN), [1, 2, 3]),
        (lambda client: client.uid("COPY", "1", "Archive"), [1, 2, 3]),
        (lambda client: client.uid("MOVE", "1", "Archive"), [2, 3]),
    ],
    ids=["append", "copy", "move"],
)
def test_what_was_put_into_a_folder_is_not_refused_because_the_next_look_failed(
    command, left, databases: Databases, server: Imap, reader: Account
):
    with Client(server.address, reader) as client:
        with no_look(databases, reader, client):
            status, words = command(client)
            assert status == "OK", words
            assert any(client.response(code)[1][0] for code in ("APPENDUID", "COPYUID"))
            assert client.response("EXPUNGE")[1] == [None if 1 in left else b"1"]
        assert client.noop()[0] == "OK"
        assert client.uids() == left
        assert client.open_folder("Archive") == 1


def newest_first(databases: Databases, reader: Account) -> list[int]:
    with databases.shard(reader.shard) as shard:
        return [
            row[0]
            for row in shard.execute(
                "SELECT message_id FROM copy WHERE mailbox_id = %s AND facts & 16 = 0 ORDER BY message_id DESC",
                (reader.id,),
            )
        ]


def wake(databases: Databases, reader: Account) -> None:
    """Tell that the mailbox changed, though it did not."""
    with databases.shard(reader.shard) as shard:
        shard.execute("SELECT pg_notify('copies', %s)", (f"0 {reader.id} {reader.id} changed",))


def test_no_database_at_all_is_a_temporary_failure(settings: Settings, tmp_path: Path):
    away = settings.model_copy(update={"control_url": "postgresql://x:y@127.0.0.1:9/z"})
    with (
        imap.running(away, tmp_path, connect_timeout=1) as server,
        Client(server.address) as client,
        pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"),
    ):
        client.login("person0@example.org", PASSWORD)


def test_a_notice_that_is_none_of_ours_ends_nothing(databases: Databases, server: Imap, reader: Account):
    with Client(server.address, reader) as client:
        client.idle()
        with databases.shard(reader.shard) as shard:
            shard.execute("NOTIFY copies, 'from another version'")
        with databases.shard(reader.shard) as shard:
            reading.delete(shard, reader.id, newest_first(databases, reader)[1], permanent=True, now=clock.now())
        assert client.told() == b"* 1 EXPUNGE"


WORDS = r"""
    UID FETCH STORE SEARCH COPY MOVE SELECT STATUS LIST APPEND IDLE DONE EXPUNGE CLOSE CHECK NOOP ENABLE NAMESPACE
    1:* 1 * 0 4294967296 (FLAGS) FLAGS +FLAGS \Seen (\Deleted) INBOX Archive NIL ( ) " {3} {3+} &- %
    BODY[] BODY[ BODY.PEEK[1.2.HEADER.FIELDS (A)] <0.1> BINARY[1] BINARY.SIZE[2] RFC822.TEXT
    OR NOT KEYWORD HEADER BEFORE SENTON 1-Jan-2020 TEXT UTF8 CHARSET LARGER
"""


def test_nothing_that_a_client_says_ends_in_an_error_of_ours(server: Imap, reader: Account):
    chance = random.Random(17)
    for _ in range(60):
        with socket.create_connection(server.address, timeout=PATIENCE) as connection:
            file = connection.makefile("rb")
            connection.sendall(f'a LOGIN {reader.address} "{PASSWORD}"\r\nb SELECT INBOX\r\n'.encode())
            while not file.readline().startswith(b"b OK"):
                pass
            for number in range(4):
                words = " ".join(chance.choices([*WORDS.split(), "\xff", "\0"], k=chance.randint(1, 6)))
                connection.sendall(f"c{number} {words}\r\n".encode("latin-1"))
            connection.sendall(b"abc\r\nDONE\r\nz LOGOUT\r\nabc\r\nz LOGOUT\r\n")
            connection.shutdown(socket.SHUT_WR)
            assert file.read()
            file.close()
    assert server.process.poll() is None
    assert "imap.session_failed" not in server.log.read_text()
