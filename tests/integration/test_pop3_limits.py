"""What POP3 does when clients or databases misbehave: limits, silence, outages, stops, and arbitrary octets."""

import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as searched
from hypothesis import strategies as st

from mailrecall import clock
from mailrecall.domain.copies import Fact
from mailrecall.embedded.certificate import self_signed
from mailrecall.embedded.deadlines import poll
from tests import company as companies
from tests.company import PASSWORD
from tests.pop3 import MESSAGE, Client, deliver, running


@pytest.fixture(scope="module")
def server(settings, tmp_path_factory):
    with running(settings, tmp_path_factory.mktemp("pop3")) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def company(databases):
    return companies.found(databases, people=3)


@pytest.fixture
def owner(databases, company):
    return companies.hire(databases, f"owner{next(iter(companies.unique_domain().split('.')))}@{company.domain}")


@pytest.fixture
def delivered(settings, databases, company, owner):
    """Put a message into the owner's inbox."""

    def deliver_(content=MESSAGE):
        return deliver(settings, databases, company.people[0], owner, content=content)

    return deliver_


WORDS = st.sampled_from(
    [
        *b"USER PASS AUTH PLAIN CAPA STLS STAT LIST UIDL RETR TOP DELE RSET NOOP APOP LAST".split(),
        *b"* 0 1 2 -1 99999999999".split(),
        *(b"", b" ", b"\x00", b"\xff\xfe", b"\r", b"\n"),
    ]
)
LINES = st.lists(
    st.one_of(st.lists(WORDS, max_size=5).map(b" ".join), st.binary(max_size=60)).map(
        lambda line: line.replace(b"\r\n", b"")
    ),
    max_size=12,
)


@searched(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, signed_in=st.booleans(), cut=st.integers(1, 40))
def test_no_line_harms_the_server(lines, signed_in, cut, server, company):
    """Whatever comes, in whatever pieces: each answer is one of POP3's, and the next client is served."""
    octets = b"".join(line + b"\r\n" for line in lines) + b"QUIT\r\n"
    with Client(server.address) as client:
        if signed_in:
            client.ask(f"USER {company.people[2].address}")
            # the session of the example before may still be letting go
            if not client.ask(f"PASS {PASSWORD}").startswith(("+OK", "-ERR [IN-USE]")):
                pytest.fail("signing in is refused")
        for start in range(0, len(octets), cut * 20):
            client.send(octets[start : start + cut * 20])
        client.socket.shutdown(socket.SHUT_WR)
        answer = client._file.read()
    for line in answer.split(b"\r\n"):
        assert line.startswith((b"+OK", b"-ERR", b"+ ")) or line in KNOWN or line[:1].isdigit(), line
    assert server.process.poll() is None


KNOWN = {b"", b".", b"PLAIN", b"TOP", b"UIDL", b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE", b"EXPIRE NEVER"}
KNOWN |= {b"USER", b"SASL PLAIN", b"IMPLEMENTATION Mail-Recall"}


def test_nothing_failed_while_lines_were_thrown_at_it(server, owner):
    with Client(server.address) as client:
        client.sign_in(owner)
    assert "pop3.failed" not in server.log.read_text()


def test_two_hundred_sessions_at_once_need_few_connections(server, settings, databases, company):
    people = [companies.hire(databases, f"crowd{number}@{company.domain}") for number in range(200)]
    for person in people[::50]:
        deliver(settings, databases, company.people[0], person)
    clients = [Client(server.address) for _ in people]
    try:
        for client, person in zip(clients, people, strict=True):
            client.send(f"USER {person.address}\r\nPASS {PASSWORD}\r\nSTAT\r\n".encode())
        for number, client in enumerate(clients):
            assert client.reply().startswith("+OK")
            assert client.reply().startswith("+OK")
            assert client.reply().startswith("+OK 1 " if number % 50 == 0 else "+OK 0 ")
        with databases.control() as connection:
            counted = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'mailrecall-pop3%'"
            ).fetchone()
        # three databases with a pool of eight each, and the two that keep the mailboxes
        assert counted is not None
        assert counted[0] <= 3 * 8 + 2
    finally:
        for client in clients:
            client.ask("QUIT")
            client.__exit__()


def test_too_many_clients_are_told_to_come_again(settings, owner, tmp_path):
    with running(settings, tmp_path, pop3_connections=2) as server:
        with Client(server.address) as first, Client(server.address):
            with Client(server.address) as third:
                assert third.greeting.startswith("-ERR [SYS/TEMP] Too many connections")
                assert third.reply() == ""
            first.sign_in(owner)
            first.ask("QUIT")

        def served():
            with Client(server.address) as fourth:
                return fourth.greeting.startswith("+OK")

        assert poll(served, timeout=60), "those who left make room"


def test_a_silent_client_is_disconnected_and_nothing_deleted(settings, databases, owner, delivered, tmp_path):
    message_id = delivered()
    with running(settings, tmp_path, pop3_timeout=1) as server:
        with Client(server.address) as client:
            client.sign_in(owner)
            client.ask("DELE 1")
            assert client.reply() == ""
        with Client(server.address) as client:
            client.sign_in(owner)
            assert client.ask("UIDL 1") == f"+OK 1 {message_id}"


def test_a_stranger_has_less_time_than_who_signed_in(settings, owner, tmp_path):
    with (
        running(settings, tmp_path, pop3_login_timeout=1) as server,
        Client(server.address) as client,
        Client(server.address) as stranger,
    ):
        client.sign_in(owner)
        assert stranger.reply() == ""
        assert client.ask("NOOP").startswith("+OK")


@pytest.mark.parametrize("command", ["RETR 1", "NOOP", "STLS, RETR 1", "STLS, NOOP"])
def test_a_client_that_takes_nothing_is_disconnected(command, settings, owner, delivered, tmp_path):
    delivered(MESSAGE + b"x" * 900 + b"\r\n" * 2_000_000)
    pair = self_signed(tmp_path / "tls", "localhost", now=clock.now())
    with (
        running(settings, tmp_path, pop3_timeout=1, tls_certificate=pair.certificate, tls_key=pair.key) as server,
        Client(server.address) as stuck,
    ):
        if command.startswith("STLS"):
            stuck.ask("STLS")
            stuck.encrypt(ssl.create_default_context(cafile=str(pair.certificate)))
        stuck.sign_in(owner)
        stuck.send(command.removeprefix("STLS, ").encode() + b"\r\n")
        assert poll(lambda: signs_in(server, owner), timeout=60, pause=0.2), "the mailbox is let go of"


def signs_in(server, account):
    with Client(server.address) as client:
        client.ask(f"USER {account.address}")
        return client.ask(f"PASS {PASSWORD}").startswith("+OK")


def test_an_impatient_client_gets_no_more_than_it_waited_for(server, databases, owner, delivered):
    """What is pipelined is not carried out for a client that has gone."""
    first = delivered(MESSAGE + (b"x" * 70 + b"\r\n") * 100_000)
    rest = [delivered() for _ in range(5)]
    client = Client(server.address)
    client.sign_in(owner)
    client.send(b"RETR 1\r\n" + b"".join(b"RETR %d\r\n" % number for number in range(2, 7)) + b"DELE 1\r\nQUIT\r\n")
    assert client.reply().startswith("+OK")
    client.__exit__()

    assert poll(lambda: signs_in(server, owner), timeout=60)
    with databases.shard(owner.shard) as connection:
        facts = dict(
            connection.execute("SELECT message_id, facts FROM copy WHERE mailbox_id = %s", (owner.id,)).fetchall()
        )
    assert facts == {first: Fact.FETCHED_BY_POP3, **dict.fromkeys(rest, 0)}


def test_a_stop_lets_a_message_on_its_way_arrive(settings, owner, delivered, tmp_path):
    content = MESSAGE + (b"x" * 70 + b"\r\n") * 200_000
    delivered(content)
    with running(settings, tmp_path) as server, Client(server.address) as client, Client(server.address) as idle:
        client.sign_in(owner)
        client.send(b"RETR 1\r\n")
        assert client.reply().startswith("+OK")
        stopped = threading.Thread(target=server.stop)
        stopped.start()
        assert idle.reply() == "-ERR [SYS/TEMP] This host is stopping; try again later"
        assert client.lines() == content
        assert client.reply() == "-ERR [SYS/TEMP] This host is stopping; try again later"
        client.__exit__()
        stopped.join(20)
        assert server.process.poll() == 0
        assert "pop3.stopped" in server.log.read_text()


def test_a_stop_waits_for_nobody_for_ever(settings, owner, delivered, tmp_path):
    delivered(MESSAGE + (b"x" * 70 + b"\r\n") * 200_000)
    with running(settings, tmp_path, stop_timeout=1) as server, Client(server.address) as stuck:
        stuck.sign_in(owner)
        stuck.send(b"RETR 1\r\n")
        assert stuck.reply().startswith("+OK")
        assert server.stop() == 0


def end_connections(databases, shard, application):
    with databases.shard(shard) as connection:
        return connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            (application,),
        ).fetchone()[0]


def test_a_session_that_lost_its_mailbox_deletes_nothing(server, databases, owner, delivered):
    """The connection that keeps the mailboxes is ended by the server: another session may have the mailbox by now."""
    message_id = delivered()
    with Client(server.address) as first:
        first.sign_in(owner)
        first.ask("DELE 1")
        assert end_connections(databases, owner.shard, "mailrecall-pop3-locks") == 1
        with Client(server.address) as second:
            second.sign_in(owner)
            assert first.ask("QUIT").startswith("-ERR [SYS/TEMP] This session has lost its mailbox")
            assert first.reply() == ""
            assert second.ask("UIDL 1") == f"+OK 1 {message_id}"
            # the loser's end must not let go of what the winner holds
            with Client(server.address) as third:
                third.ask(f"USER {owner.address}")
                assert third.ask(f"PASS {PASSWORD}").startswith("-ERR [IN-USE]")
            assert second.ask("QUIT").startswith("+OK")


def test_connections_that_broke_are_replaced(server, databases, owner, delivered):
    delivered()
    with Client(server.address) as client:
        client.sign_in(owner)
        assert end_connections(databases, owner.shard, "mailrecall-pop3") >= 1
        assert client.ask_lines("RETR 1") == MESSAGE
        assert client.ask("QUIT").startswith("+OK")


def test_without_a_database_clients_are_told_to_come_again(settings, databases, owner, tmp_path):
    away = settings.model_copy(
        update={"shard_urls": tuple("postgresql://nobody@127.0.0.1:1/none" for _ in settings.shard_urls)}
    )
    with running(away, tmp_path, connect_timeout=1) as server, Client(server.address) as client:
        client.ask(f"USER {owner.address}")
        assert client.ask(f"PASS {PASSWORD}") == "-ERR [SYS/TEMP] The mail store does not answer; try again later"
        assert client.ask("CAPA").startswith("+OK")
        assert "pop3.unavailable" in server.log.read_text()
        assert "Traceback" not in server.log.read_text()


def test_a_quit_that_cannot_delete_says_so(server, settings, databases, owner, delivered):
    message_id = delivered()
    with Client(server.address) as client, psycopg.connect(settings.shard_urls[owner.shard]) as blocker:
        client.sign_in(owner)
        client.ask("DELE 1")
        blocker.execute("ALTER TABLE copy RENAME TO copy_away")
        blocker.commit()
        try:
            assert client.ask("QUIT") == "-ERR [SYS/TEMP] The mail store does not answer; try again later"
        finally:
            blocker.execute("ALTER TABLE copy_away RENAME TO copy")
            blocker.commit()
    with Client(server.address) as client:
        client.sign_in(owner)
        assert client.ask("UIDL 1") == f"+OK 1 {message_id}"


@pytest.mark.parametrize(
    ("name", "value", "code", "complaint"),
    [
        ("pop3_bind", "nowhere", 2, r"MAILRECALL_POP3_BIND: .*host:port"),
        ("pop3_timeout", "0", 2, r"MAILRECALL_POP3_TIMEOUT: "),
        ("plain_login", "perhaps", 2, r"MAILRECALL_PLAIN_LOGIN: "),
        ("pop3_bind", "203.0.113.1:2110", 1, r"POP3 cannot listen: .*Set MAILRECALL_POP3_BIND"),
    ],
)
def test_a_setting_that_cannot_be_right_stops_it_at_the_start(name, value, code, complaint, settings):
    ended = subprocess.run(
        [sys.executable, "-m", "services.delivery.pop3"],
        env={
            **os.environ,
            "MAILRECALL_CONTROL_URL": settings.control_url,
            "MAILRECALL_SHARD_URLS": " ".join(settings.shard_urls),
            "MAILRECALL_BROKER_URL": settings.broker_url,
            f"MAILRECALL_{name.upper()}": value,
        },
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == code
    assert re.match(complaint, ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr
