"""Mail programs that are connected while their mailbox moves to another shard."""

from collections.abc import Callable, Iterator

import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.shards import moving
from tests import company, imap, pop3
from tests.imap import Imap
from tests.moving import shard_of
from tests.pop3 import MESSAGE, Pop3

MORE = MESSAGE.replace(b"Minutes", b"More minutes")


@pytest.fixture(scope="module")
def imap_server(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imap]:
    with imap.running(settings, tmp_path_factory.mktemp("imap")) as running:
        yield running


@pytest.fixture(scope="module")
def pop3_server(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pop3]:
    with pop3.running(settings, tmp_path_factory.mktemp("pop3")) as running:
        yield running


@pytest.fixture
def reader(databases: Databases, settings: Settings) -> Account:
    """Somebody with two messages."""
    sender, reader = company.found(databases, people=2).people
    for content in (MESSAGE, MORE):
        pop3.deliver(settings, databases, sender, reader, content=content)
    return reader


def move(settings: Settings, databases: Databases, who: Account, meanwhile: Callable[[], None]) -> None:
    """Move somebody to the other shard, and do something while the mailbox is on neither."""
    called: list[str] = []

    def reached(step: str) -> None:
        if step == "gone":
            called.append(step)
            meanwhile()

    target = 1 - who.shard
    with moving.mover(settings, databases, reached) as mover:
        mover.move(who.shard, target, [who.id], now=clock.now())
    assert called
    assert shard_of(databases, who) == target


def test_an_imap_session_goes_on_with_the_same_uids(
    settings: Settings, databases: Databases, imap_server: Imap, reader: Account
):
    with imap.Client(imap_server.address, reader) as client:
        uids, validity = client.uids(), client.response("UIDVALIDITY")
        client.ok("STORE", str(uids[0]), "+FLAGS", r"(\Flagged)")

        def meanwhile() -> None:
            for command in (
                ("NOOP",),
                ("UID", "FETCH", str(uids[1]), "BODY[]"),
                ("UID", "STORE", "1", "+FLAGS", "(X)"),
            ):
                status, words = client._simple_command(*command)
                assert status == "NO"
                assert words[0].startswith(b"[UNAVAILABLE]")

        move(settings, databases, reader, meanwhile)
        assert client.noop()[0] == "OK"
        assert client.uids() == uids
        assert client.uids("FLAGGED") == uids[:1]
        assert client.octets(uids[1], "BODY[]") == MORE
        assert client.open_folder("INBOX") == len(uids)
        assert client.response("UIDVALIDITY") == validity


def test_a_pop3_session_ends_and_has_deleted_nothing(
    settings: Settings, databases: Databases, pop3_server: Pop3, reader: Account
):
    with pop3.Client(pop3_server.address) as client:
        assert client.ask(f"USER {reader.address}").startswith("+OK")
        assert client.ask(f"PASS {company.PASSWORD}").startswith("+OK")
        assert client.ask("DELE 1").startswith("+OK")

        def meanwhile() -> None:
            with pop3.Client(pop3_server.address) as second:
                assert second.ask(f"USER {reader.address}").startswith("+OK")
                assert second.ask(f"PASS {company.PASSWORD}").startswith("-ERR [")

        move(settings, databases, reader, meanwhile)
        assert client.ask("QUIT").startswith("-ERR [SYS/TEMP]")

    with pop3.Client(pop3_server.address) as again:
        assert again.ask(f"USER {reader.address}").startswith("+OK")
        assert again.ask(f"PASS {company.PASSWORD}").startswith("+OK")
        assert again.ask("STAT") == f"+OK 2 {len(MESSAGE) + len(MORE)}"
