"""R7 through the protocol itself: what counts as handing out, what does not, and what a recall makes of it."""

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Fact, Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.mailstore import imap, reading
from mailrecall.mailstore.imap import Place
from mailrecall.messages import ids
from mailrecall.recalls.requests import Requested
from mailrecall.wiring import Process
from tests import company as companies
from tests import correspondence, dispatch
from tests.pop3 import MESSAGE, Client, deliver, running


@pytest.fixture(scope="module")
def server(settings, tmp_path_factory):
    with running(settings, tmp_path_factory.mktemp("pop3")) as running_server:
        yield running_server


@pytest.fixture
def company(databases):
    return companies.found(databases, people=4)


@pytest.fixture
def delivered(settings, databases):
    """Put a message into people's inboxes and return its id."""

    def deliver_(*people, content=MESSAGE):
        return deliver(settings, databases, *people, content=content)

    return deliver_


@pytest.fixture
def recalled(settings, databases, company):
    """Recall a message and return the ledger."""

    def recall(message_id):
        asked = correspondence.ask(databases, company.people[0], message_id)
        assert isinstance(asked, Requested), asked
        dispatch.run(Process(settings, databases))
        return correspondence.ledger(databases, asked.recall.id)

    return recall


def facts(databases, account, copy_id):
    with databases.shard(account.shard) as connection:
        row = connection.execute(
            "SELECT facts, flags FROM copy WHERE mailbox_id = %s AND message_id = %s", (account.id, copy_id)
        ).fetchone()
    return row and (Fact(row[0]), row[1])


@pytest.mark.rule(7)
@pytest.mark.parametrize(
    "case",
    [
        # handing out, whatever comes after
        (["RETR 1"], Outcome.FETCHED_BY_POP3),
        (["TOP 1 1"], Outcome.FETCHED_BY_POP3),
        (["TOP 1 999999"], Outcome.FETCHED_BY_POP3),
        (["RETR 1", "DELE 1", "QUIT"], Outcome.FETCHED_BY_POP3),
        (["RETR 1", "RSET", "QUIT"], Outcome.FETCHED_BY_POP3),
        (["TOP 1 0", "TOP 1 1"], Outcome.FETCHED_BY_POP3),
        # looking
        ([], Outcome.RECALLED),
        (["STAT", "LIST", "LIST 1", "UIDL", "UIDL 1", "NOOP"], Outcome.RECALLED),
        (["TOP 1 0"], Outcome.RECALLED),
        (["TOP 1 00"], Outcome.RECALLED),
        (["TOP 1 0", "TOP 1 0", "QUIT"], Outcome.RECALLED),
        (["RETR 2", "TOP 2 5", "RETR"], Outcome.RECALLED),
        # deleting
        (["DELE 1", "QUIT"], Outcome.GONE),
        (["TOP 1 0", "DELE 1", "QUIT"], Outcome.GONE),
        (["DELE 1"], Outcome.RECALLED),
        (["DELE 1", "RETR 1"], Outcome.RECALLED),
        (["DELE 1", "RSET", "QUIT"], Outcome.RECALLED),
    ],
    ids=lambda case: ", ".join(case[0]) or "nothing",
)
def test_r7_what_pop3_handed_out_stays_and_nothing_else(case, server, delivered, company, recalled):
    commands, outcome = case
    sender, reader, other = company.people[:3]
    message_id = delivered(sender, reader, other)
    with Client(server.address) as client:
        client.sign_in(reader)
        for command in commands:
            first = client.ask(command)
            if (first.startswith("+OK") and command.split()[0] in ("RETR", "TOP")) or command in ("LIST", "UIDL"):
                client.lines()
        ledger = recalled(message_id)
    assert ledger.of(reader) is outcome
    assert ledger.of(other) is Outcome.RECALLED


@pytest.mark.rule(2, 7)
def test_r2_r7_fetching_is_no_read_and_no_flag_shows_it(server, delivered, databases, company):
    sender, reader, *_ = company.people
    message_id = delivered(sender, reader)
    with Client(server.address) as client:
        client.sign_in(reader).ask_lines("RETR 1")
    assert facts(databases, reader, message_id) == (Fact.FETCHED_BY_POP3, 0)


@pytest.mark.rule(7, 9)
def test_r7_r9_what_was_read_elsewhere_too_counts_as_read(server, delivered, databases, company, recalled):
    sender, reader, *_ = company.people
    message_id = delivered(sender, reader)
    with Client(server.address) as client:
        client.sign_in(reader).ask_lines("RETR 1")
    with databases.shard(reader.shard) as connection:
        reading.open_copy(connection, reader.id, message_id, now=clock.now())
    assert recalled(message_id).of(reader) is Outcome.ALREADY_READ


@pytest.mark.rule(7)
def test_r7_the_fact_is_durable_before_the_first_octet_leaves(server, delivered, databases, company):
    """A client that reads nothing: the copy counts as handed out while not one octet has been taken."""
    sender, reader, *_ = company.people
    content = MESSAGE + b"x" * 70 + b"\r\n"
    content += (b"y" * 70 + b"\r\n") * 50_000
    message_id = delivered(sender, reader, content=content)
    with Client(server.address) as client:
        client.sign_in(reader)
        assert client.ask("RETR 1") == f"+OK {len(content)} octets"
        # the first line of the answer is here, most of the message cannot be: it does not fit into any buffer
        assert facts(databases, reader, message_id) == (Fact.FETCHED_BY_POP3, 0)


@pytest.mark.rule(7)
def test_r7_a_message_without_a_header_is_not_shown_by_top_0(server, delivered, databases, company, recalled):
    sender, reader, *_ = company.people
    message_id = delivered(sender, reader, content=b"Subject: x\r\nall of this is text\r\nsecret: yes\r\n")
    with Client(server.address) as client:
        client.sign_in(reader)
        assert client.ask_lines("TOP 1 0") == b"Subject: x\r\n\r\n"
    assert recalled(message_id).of(reader) is Outcome.RECALLED


def test_what_is_withdrawn_during_a_session_is_refused_and_the_numbers_stay(
    server, delivered, databases, company, recalled
):
    sender, reader, *_ = company.people
    ids = [delivered(sender, reader) for _ in range(3)]
    with Client(server.address) as client:
        client.sign_in(reader)
        assert recalled(ids[1]).of(reader) is Outcome.RECALLED
        for command in ("RETR 2", "TOP 2 0", "TOP 2 10"):
            assert client.ask(command) == "-ERR That message is no longer there", command
        assert client.ask_lines("RETR 3") == MESSAGE
        assert client.ask_lines("UIDL").decode().split()[::2] == ["1", "2", "3"]
        # deleting what is gone already is no failure, and harms no other
        client.ask("DELE 2")
        client.ask("DELE 1")
        assert client.ask("QUIT") == "+OK Bye, 1 messages deleted"
    with Client(server.address) as client:
        client.sign_in(reader)
        assert client.ask_lines("UIDL").decode() == f"1 {ids[2]}\r\n"


def test_what_its_owner_deletes_elsewhere_during_a_session_is_refused(server, delivered, databases, company):
    sender, reader, *_ = company.people
    message_id = delivered(sender, reader)
    with Client(server.address) as client:
        client.sign_in(reader)
        with databases.shard(reader.shard) as connection:
            reading.delete(connection, reader.id, message_id, permanent=True, now=clock.now())
        assert client.ask("RETR 1") == "-ERR That message is no longer there"
    assert facts(databases, reader, message_id) == (Fact.DELETED, 0), "nothing was handed out"


@pytest.mark.rule(2, 7)
def test_r2_r7_a_recall_and_a_fetch_at_the_same_moment_both_tell_the_truth(
    server, delivered, databases, company, recalled
):
    """The fetch waits for a withdrawal that holds the copy's row, and the other way round; nobody gets both."""
    sender, reader, *_ = company.people
    message_id = delivered(sender, reader)
    with Client(server.address) as client, databases.shard(reader.shard) as connection:
        client.sign_in(reader)
        connection.execute(
            "DELETE FROM copy WHERE mailbox_id = %s AND message_id = %s RETURNING 1", (reader.id, message_id)
        )
        client.send(b"RETR 1\r\n")
        client.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(20)
        connection.commit()
        assert client.socket.recv(100) == b"-ERR That message is no longer there\r\n"


@pytest.fixture
def duplicated(databases):
    """Copy the one message in an inbox within the inbox, as IMAP does."""

    def duplicate(account):
        place = Place(account.id, Folder.INBOX)
        with databases.shard(account.shard) as shard:
            (held,) = imap.look(shard, place, now=clock.now()).messages
            with databases.control() as control:
                new_ids = ids.unused_ids(control, 1)
            imap.copy(shard, place, [held.uid], Folder.INBOX, new_ids=new_ids, now=clock.now())

    return duplicate


@pytest.mark.rule(7)
def test_r7_fetching_a_duplicate_is_fetching_the_copy(server, delivered, company, duplicated, recalled):
    sender, reader, *_ = company.people
    message_id = delivered(sender, reader)
    duplicated(reader)
    with Client(server.address) as client:
        client.sign_in(reader).ask_lines("RETR 2")
    assert recalled(message_id).of(reader) is Outcome.FETCHED_BY_POP3


@pytest.mark.rule(9)
@pytest.mark.parametrize(
    ("deleted", "left", "outcome"), [([1], 1, Outcome.RECALLED), ([2], 1, Outcome.RECALLED), ([1, 2], 0, Outcome.GONE)]
)
def test_r9_a_copy_is_gone_when_its_duplicate_is_too(case_of, deleted, left, outcome):
    server, reader, message_id, recalled = case_of
    with Client(server.address) as client:
        client.sign_in(reader)
        for number in deleted:
            client.ask(f"DELE {number}")
        assert client.ask("QUIT") == f"+OK Bye, {len(deleted)} messages deleted"
    with Client(server.address) as client:
        assert client.sign_in(reader).ask("STAT").startswith(f"+OK {left} ")
        client.ask("QUIT")
    assert recalled(message_id).of(reader) is outcome
    with Client(server.address) as client:
        assert client.sign_in(reader).ask("STAT") == "+OK 0 0"


@pytest.fixture
def case_of(server, delivered, company, duplicated, recalled):
    """A reader with a message and a duplicate of it."""
    sender, reader, *_ = company.people
    message_id = delivered(sender, reader)
    duplicated(reader)
    return server, reader, message_id, recalled
