"""POP3 as clients speak it, against the real process: each command, what it refuses, and the session's rules."""

import base64
import poplib

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Folder
from mailrecall.mailstore import reading
from tests import company as companies
from tests.company import PASSWORD
from tests.pop3 import MESSAGE, Client, deliver, running


@pytest.fixture(scope="module")
def server(settings, tmp_path_factory):
    with running(settings, tmp_path_factory.mktemp("pop3")) as running_server:
        yield running_server


@pytest.fixture
def company(databases):
    return companies.found(databases, people=3)


@pytest.fixture
def owner(company):
    return company.people[1]


@pytest.fixture
def post(settings, databases, company, owner):
    """Put a message into the owner's inbox."""

    def send(content=MESSAGE):
        return deliver(settings, databases, company.people[0], owner, content=content)

    return send


@pytest.fixture
def client(server):
    with Client(server.address) as connected:
        yield connected


def in_inbox(databases, account):
    with databases.shard(account.shard) as connection:
        return [entry.copy_id for entry in reading.list_folder(connection, account.id, Folder.INBOX, limit=99)]


def test_a_library_of_somebody_else_fetches_and_deletes(server, post, owner, databases):
    first, second = post(), post(MESSAGE.replace(b"Minutes", b"More minutes"))
    mailbox = poplib.POP3(*server.address)
    mailbox.user(owner.address)
    mailbox.pass_(PASSWORD)
    assert mailbox.stat() == (2, 2 * len(MESSAGE) + len("More "))
    assert mailbox.list()[1] == [f"1 {len(MESSAGE)}".encode(), f"2 {len(MESSAGE) + 5}".encode()]
    assert mailbox.uidl()[1] == [f"1 {first}".encode(), f"2 {second}".encode()]
    assert b"\r\n".join(mailbox.retr(1)[1]) + b"\r\n" == MESSAGE
    mailbox.dele(1)
    mailbox.quit()
    assert in_inbox(databases, owner) == [second]


def test_the_greeting_offers_no_apop(client):
    assert client.greeting.startswith("+OK")
    assert "<" not in client.greeting
    assert client.ask("APOP ada 0123456789abcdef").startswith("-ERR")


def test_capabilities_before_and_after_signing_in(client, owner):
    before = client.ask_lines("CAPA").decode().splitlines()
    assert {"TOP", "UIDL", "USER", "SASL PLAIN", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE"} <= set(before)
    assert "STLS" not in before, "there is no certificate"
    assert client.ask("STLS").startswith("-ERR")
    client.sign_in(owner)
    after = set(client.ask_lines("CAPA").decode().splitlines())
    assert {"TOP", "UIDL", "PIPELINING"} <= after
    assert not {"USER", "SASL PLAIN"} & after


def test_list_and_uidl_of_one_message(client, post, owner):
    message_id = post()
    client.sign_in(owner)
    assert client.ask("LIST 1") == f"+OK 1 {len(MESSAGE)}"
    assert client.ask("UIDL 1") == f"+OK 1 {message_id}"


@pytest.mark.parametrize("command", ["LIST", "UIDL", "RETR", "DELE", "TOP"])
@pytest.mark.parametrize("number", ["0", "2", "-1", "+1", "1_0", "x", "999999999999999999999", "1.0", "\u0661"])
def test_a_message_that_is_not_there(command, number, client, post, owner):
    post()
    client.sign_in(owner)
    assert client.ask(f"{command} {number}" + (" 0" if command == "TOP" else "")).startswith("-ERR")
    assert client.ask("STAT").startswith("+OK 1 ")


def test_an_empty_mailbox(client, owner):
    client.sign_in(owner)
    assert client.ask("STAT") == "+OK 0 0"
    assert client.ask_lines("LIST") == b""
    assert client.ask_lines("UIDL") == b""
    assert client.ask("RETR 1").startswith("-ERR")
    assert client.ask("QUIT").startswith("+OK")


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("0", b""),
        ("1", b"first\r\n"),
        ("2", b"first\r\nsecond\r\n"),
        ("3", b"first\r\nsecond\r\nthird\r\n"),
        ("4000", b"first\r\nsecond\r\nthird\r\n"),
    ],
)
def test_top(lines, text, client, post, owner):
    post()
    client.sign_in(owner)
    header = MESSAGE[: MESSAGE.index(b"\r\n\r\n") + 4]
    assert client.ask_lines(f"TOP 1 {lines}") == header + text


@pytest.mark.parametrize("lines", ["", "-1", "x", "1 1", "99999999999999999999"])
def test_top_needs_a_number_of_lines(lines, client, post, owner):
    post()
    client.sign_in(owner)
    assert client.ask(f"TOP 1 {lines}").startswith("-ERR")


def test_deleted_messages_are_listed_no_more_and_numbers_stay(client, post, owner):
    ids = [post(), post(), post()]
    client.sign_in(owner)
    assert client.ask("DELE 2").startswith("+OK")
    assert client.ask("DELE 2").startswith("-ERR")
    assert client.ask("STAT") == f"+OK 2 {2 * len(MESSAGE)}"
    assert client.ask_lines("UIDL").decode().splitlines() == [f"1 {ids[0]}", f"3 {ids[2]}"]
    assert [line.split()[0] for line in client.ask_lines("LIST").splitlines()] == [b"1", b"3"]
    for command in ("RETR 2", "TOP 2 0", "LIST 2", "UIDL 2"):
        assert client.ask(command).startswith("-ERR"), command
    assert client.ask("RSET").startswith("+OK")
    assert client.ask("STAT") == f"+OK 3 {3 * len(MESSAGE)}"
    assert client.ask("LIST 2").startswith("+OK")


def test_only_quit_deletes(server, post, owner, databases):
    message_id = post()
    with Client(server.address) as client:
        client.sign_in(owner)
        client.ask("DELE 1")
    with signed_in_when_free(server, owner) as client:
        assert client.ask("STAT").startswith("+OK 1 ")
        client.ask("DELE 1")
        client.ask("RSET")
        client.ask("QUIT")
    assert in_inbox(databases, owner) == [message_id]
    with Client(server.address) as client:
        client.sign_in(owner)
        client.ask("DELE 1")
        assert client.ask("QUIT") == "+OK Bye, 1 messages deleted"
        assert client.reply() == "", "the connection is closed"
    assert in_inbox(databases, owner) == []


def signed_in_when_free(server, owner):
    """Sign in as soon as a session that broke off has let go of the mailbox."""
    client = Client(server.address)
    for _ in range(200):
        client.ask(f"USER {owner.address}")
        answer = client.ask(f"PASS {PASSWORD}")
        if not answer.startswith("-ERR [IN-USE]"):
            break
    assert answer.startswith("+OK"), answer
    return client


def test_commands_have_their_time(client, owner):
    for command in ("STAT", "LIST", "UIDL", "RETR 1", "TOP 1 0", "DELE 1", "NOOP", "RSET"):
        assert client.ask(command).startswith("-ERR"), f"{command} before signing in"
    assert client.ask(f"PASS {PASSWORD}").startswith("-ERR"), "before USER"
    client.sign_in(owner)
    for command in (f"USER {owner.address}", f"PASS {PASSWORD}", "AUTH PLAIN", "STLS"):
        assert client.ask(command).startswith("-ERR"), f"{command} after signing in"
    assert client.ask("NOOP").startswith("+OK")


@pytest.mark.parametrize(
    "command", ["LAST", "RPOP x", "XYZZY", "", "USER", "NOOP 1", "STAT 1", "RETR", "QUIT now", "\xff\xfe"]
)
def test_what_is_no_command_is_refused_and_harms_nothing(command, client, owner):
    client.sign_in(owner)
    assert client.ask(command).startswith("-ERR")
    assert client.ask("NOOP").startswith("+OK")


def test_commands_in_any_case(client, owner):
    assert client.ask(f"uSeR {owner.address}").startswith("+OK")
    assert client.ask(f"pass {PASSWORD}").startswith("+OK")
    assert client.ask("stat").startswith("+OK")


def credentials(user, password=PASSWORD, on_behalf=""):
    return base64.b64encode(f"{on_behalf}\0{user}\0{password}".encode()).decode()


def test_sasl_plain_at_once_and_in_two_steps(server, company):
    one, two = company.people[1], company.people[2]
    with Client(server.address) as client:
        assert client.ask_lines("AUTH") == b"PLAIN\r\n"
        assert client.ask(f"AUTH PLAIN {credentials(one.address)}").startswith("+OK")
        assert client.ask("STAT") == "+OK 0 0"
    with Client(server.address) as client:
        assert client.ask("AUTH plain") == "+ "
        assert client.ask(credentials(two.address)).startswith("+OK")
        assert client.ask("STAT") == "+OK 0 0"


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        ("*", "-ERR Cancelled"),
        ("no base64", "-ERR Those are no credentials"),
        ("", "-ERR Those are no credentials"),
        ("AGE=", "-ERR Those are no credentials"),
        (credentials("nobody@nowhere.example"), "-ERR [AUTH]"),
        (credentials("nobody@nowhere.example", on_behalf="ada@here.example"), "-ERR [AUTH]"),
        (base64.b64encode(b"\0\xff\xfe\0\xff").decode(), "-ERR [AUTH]"),
    ],
)
def test_sasl_that_fails(answer, reply, client):
    assert client.ask("AUTH PLAIN") == "+ "
    assert client.ask(answer).startswith(reply)
    assert client.ask("CAPA").startswith("+OK")


def test_an_unknown_mechanism(client):
    assert client.ask("AUTH CRAM-MD5").startswith("-ERR")


def test_an_alias_is_its_account(server, company, databases):
    companies.hire(databases, f"long.name@{company.domain}", aliases=[f"ln@{company.domain}"])
    with Client(server.address) as client:
        client.ask(f"USER ln@{company.domain}")
        assert client.ask(f"PASS {PASSWORD}").startswith("+OK")


def test_wrong_credentials_are_refused_alike_and_not_for_ever(client, owner):
    replies = []
    for user in (owner.address, f"nobody@{owner.domain}", "not an address", owner.address, owner.address):
        client.ask(f"USER {user}".replace(" an ", "-"))
        replies.append(client.ask("PASS wrong"))
    assert set(replies) == {"-ERR [AUTH] Address or password is wrong"}
    assert client.reply() == "", "the connection is closed"


def test_a_closed_account(client, owner, databases):
    with databases.control() as connection:
        connection.execute("UPDATE account SET closed_at = %s WHERE id = %s", (clock.now(), owner.id))
    client.ask(f"USER {owner.address}")
    assert client.ask(f"PASS {PASSWORD}").startswith("-ERR [AUTH]")


def test_a_second_session_finds_the_mailbox_in_use(server, owner):
    with Client(server.address) as first, Client(server.address) as second:
        first.sign_in(owner)
        second.ask(f"USER {owner.address}")
        assert second.ask(f"PASS {PASSWORD}").startswith("-ERR [IN-USE]")
        assert first.ask("QUIT").startswith("+OK")
        second.sign_in(owner)


def test_a_second_process_finds_the_mailbox_in_use(server, settings, owner, tmp_path):
    with running(settings, tmp_path) as other, Client(server.address) as first, Client(other.address) as second:
        first.sign_in(owner)
        second.ask(f"USER {owner.address}")
        assert second.ask(f"PASS {PASSWORD}").startswith("-ERR [IN-USE]")
        assert first.ask("QUIT").startswith("+OK")
        second.sign_in(owner)


def test_a_killed_process_holds_no_mailbox(server, settings, owner, tmp_path):
    with running(settings, tmp_path) as other, Client(other.address) as lost:
        lost.sign_in(owner)
        other.process.kill()
        other.process.wait()
        with signed_in_when_free(server, owner) as client:
            assert client.ask("STAT").startswith("+OK")


def test_what_comes_in_during_a_session_is_for_the_next(server, post, owner):
    post()
    with Client(server.address) as client:
        client.sign_in(owner)
        post()
        assert client.ask("STAT").startswith("+OK 1 ")
        client.ask("QUIT")
    with Client(server.address) as client:
        client.sign_in(owner)
        assert client.ask("STAT").startswith("+OK 2 ")


def test_only_the_inbox(client, post, owner, databases):
    kept, moved = post(), post()
    with databases.shard(owner.shard) as connection:
        reading.move(connection, owner.id, moved, Folder.ARCHIVE)
    client.sign_in(owner)
    assert client.ask_lines("UIDL").decode() == f"1 {kept}\r\n"


def test_uids_stay_whatever_goes(server, post, owner):
    ids = [post() for _ in range(3)]
    with Client(server.address) as client:
        client.sign_in(owner)
        client.ask("DELE 1")
        client.ask("QUIT")
    with Client(server.address) as client:
        client.sign_in(owner)
        assert client.ask_lines("UIDL").decode().splitlines() == [f"1 {ids[1]}", f"2 {ids[2]}"]


def test_pipelined_commands_are_answered_in_order(server, post, owner, databases):
    post()
    post()
    commands = [
        f"USER {owner.address}",
        f"PASS {PASSWORD}",
        "STAT",
        "RETR 1",
        "BOGUS",
        "DELE 1",
        "NOOP",
        "QUIT",
        "NOOP",
    ]
    with Client(server.address) as client:
        client.send("".join(f"{command}\r\n" for command in commands).encode())
        assert client.reply().startswith("+OK")
        assert client.reply().startswith("+OK Your mailbox has 2")
        assert client.reply() == f"+OK 2 {2 * len(MESSAGE)}"
        assert client.reply() == f"+OK {len(MESSAGE)} octets"
        assert client.lines() == MESSAGE
        assert client.reply() == "-ERR There is no such command"
        assert client.reply().startswith("+OK Message 1")
        assert client.reply() == "+OK "
        assert client.reply() == "+OK Bye, 1 messages deleted"
        assert client.reply() == ""
    assert len(in_inbox(databases, owner)) == 1


def test_a_password_that_is_wrong_leaves_what_follows_unsigned(client, owner):
    client.send(f"USER {owner.address}\r\nPASS wrong\r\nSTAT\r\n".encode())
    assert client.reply().startswith("+OK")
    assert client.reply().startswith("-ERR [AUTH]")
    assert client.reply() == "-ERR Sign in first"


def test_a_line_that_no_command_needs_ends_the_connection(client):
    client.send(b"NOOP " + b"x" * 3000 + b"\r\n")
    assert client.reply() == "-ERR That line is too long"
    assert client.reply() == ""


def test_nothing_secret_is_in_the_log(server, client, owner):
    client.sign_in(owner)
    client.ask(f"USER {owner.address}")
    client.ask("AUTH PLAIN " + credentials(owner.address))
    client.ask("QUIT")
    log = server.log.read_text()
    assert "pop3.signed_in" in log
    for secret in (owner.address, PASSWORD, PASSWORD.split()[0], credentials(owner.address), "Minutes"):
        assert secret not in log
