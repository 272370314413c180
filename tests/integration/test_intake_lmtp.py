"""LMTP: what a mail server in front is told, and what is kept of what it hands over."""

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailrecall.directory import accounts
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company as companies
from tests.company import Company
from tests.intake import Client, Intake, count, running, stored

MESSAGE = b"From: eve@elsewhere.example\r\nSubject: Hello\r\n\r\nGood morning\r\n"
MESSAGES = sorted((Path(__file__).parents[1] / "messages").glob("*.eml"))


@pytest.fixture(scope="module")
def intake(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intake]:
    folder = tmp_path_factory.mktemp("intake")
    with running(settings, folder, max_message_size=100_000, max_recipients=5, max_hops=30) as running_intake:
        yield running_intake


@pytest.fixture(scope="module")
def company(databases: Databases) -> Company:
    return companies.found(databases, people=3)


@pytest.fixture
def client(intake: Intake) -> Iterator[Client]:
    with Client(intake.lmtp) as client:
        assert client.ask("LHLO relay.example.net").startswith("250-mx.example.org")
        yield client


def envelope(client: Client, sender: str, *recipients: str) -> list[str]:
    assert client.ask(f"MAIL FROM:<{sender}>").startswith("250")
    return [client.ask(f"RCPT TO:<{recipient}>") for recipient in recipients]


def data(client: Client, octets: bytes, replies: int) -> list[str]:
    assert client.ask("DATA").startswith("354")
    client.send(octets + b".\r\n")
    return [client.reply() for _ in range(replies)]


def accepted(reply: str) -> int:
    assert reply.startswith("250 2.0.0 Accepted as "), reply
    return int(reply.rsplit(" ", 1)[1])


def test_it_says_what_it_serves(intake: Intake):
    with Client(intake.lmtp) as client:
        assert client.greeting.startswith("220 mx.example.org")
        served = client.ask("LHLO relay.example.net").splitlines()
    assert {
        "250-PIPELINING",
        "250-ENHANCEDSTATUSCODES",
        "250-8BITMIME",
        "250-SMTPUTF8",
        "250-SIZE 100000",
    } <= set(served)
    assert not [line for line in served if "AUTH" in line]


def test_helo_and_ehlo_belong_to_smtp(intake: Intake):
    with Client(intake.lmtp) as client:
        assert client.ask("EHLO relay.example.net").startswith("500 5.5.2")
        assert client.ask("MAIL FROM:<eve@elsewhere.example>").startswith("503 5.5.1")


def test_each_recipient_is_answered_for_and_a_message_is_kept_once(
    client: Client, company: Company, databases: Databases
):
    first, second = company.people[:2]
    replies = envelope(client, "eve@elsewhere.example", first.address, second.address)
    assert replies == ["250 2.1.5 Recipient accepted"] * 2
    replies = data(client, MESSAGE, 2)
    assert len({accepted(reply) for reply in replies}) == 1
    assert client.ask("NOOP").startswith("250"), "no reply is left over"
    message = stored(databases, accepted(replies[0]))
    assert message.channel == "lmtp"
    assert message.sender_account_id is None
    assert message.envelope_sender == "eve@elsewhere.example"
    assert message.subject == "Hello"
    assert message.recipients == [(first.address, "account", first.id), (second.address, "account", second.id)]


def test_what_is_added_stands_in_front_and_the_rest_is_as_it_came(
    client: Client, company: Company, databases: Databases
):
    envelope(client, "eve@elsewhere.example", company.people[0].address)
    (reply,) = data(client, MESSAGE, 1)
    content = stored(databases, accepted(reply)).content
    assert content.endswith(MESSAGE)
    added = content.removesuffix(MESSAGE).decode()
    assert added.startswith(
        "Return-Path: <eve@elsewhere.example>\r\nReceived: from relay.example.net ([127.0.0.1])\r\n"
    )
    assert "by mx.example.org with LMTP id " in added
    assert added.endswith("+0000\r\n")
    assert company.people[0].address not in added


def test_delivery_is_ordered_with_the_message(client: Client, company: Company, databases: Databases):
    envelope(client, "eve@elsewhere.example", company.people[0].address)
    (reply,) = data(client, MESSAGE, 1)
    with databases.control() as connection:
        tasks = connection.execute(
            "SELECT task FROM outbox WHERE args = jsonb_build_object('message_id', %s::bigint)", (accepted(reply),)
        ).fetchall()
    assert tasks == [("delivery.expand",)]


def test_a_recipient_nobody_knows_is_refused_and_the_others_get_it(
    client: Client, company: Company, databases: Databases
):
    replies = envelope(
        client,
        "eve@elsewhere.example",
        f"nobody@{company.domain}",
        company.people[0].address,
        "someone@elsewhere.example",
    )
    assert replies[0].startswith("550 5.1.1 ")
    assert replies[1].startswith("250 ")
    assert replies[2].startswith("550 5.7.1 Relaying denied")
    (reply,) = data(client, MESSAGE, 1)
    assert client.ask("NOOP").startswith("250"), "one reply for the one recipient that was accepted"
    assert [address for address, *_ in stored(databases, accepted(reply)).recipients] == [company.people[0].address]


def test_a_message_without_any_accepted_recipient_is_not_taken(client: Client, company: Company, databases: Databases):
    before = count(databases)
    envelope(client, "eve@elsewhere.example", f"nobody@{company.domain}")
    assert client.ask("DATA").startswith("503 5.5.1")
    assert count(databases) == before


def test_a_closed_mailbox_is_refused(client: Client, company: Company, databases: Databases):
    leaver = companies.hire(databases, f"leaver@{company.domain}")
    with databases.control() as connection:
        connection.execute("UPDATE account SET closed_at = now() WHERE id = %s", (leaver.id,))
    (reply,) = envelope(client, "eve@elsewhere.example", leaver.address)
    assert reply.startswith("550 5.2.1 ")


@pytest.mark.rule(1)
def test_r1_an_alias_and_a_tag_lead_to_their_account(client: Client, company: Company, databases: Databases):
    person = company.people[0]
    with databases.control() as connection:
        accounts.add_alias(connection, company.address("sales"), company.address("person0"))
    replies = envelope(client, "eve@elsewhere.example", f"SALES@{company.domain}", f"person0+news@{company.domain}")
    assert all(reply.startswith("250") for reply in replies)
    message = stored(databases, accepted(data(client, MESSAGE, 2)[0]))
    assert [account_id for _, _, account_id in message.recipients] == [person.id, person.id]


def test_a_group_is_a_recipient(client: Client, company: Company, databases: Databases):
    companies.group(databases, f"everyone@{company.domain}", company.people)
    (reply,) = envelope(client, "eve@elsewhere.example", f"everyone@{company.domain}")
    assert reply.startswith("250")
    message = stored(databases, accepted(data(client, MESSAGE, 1)[0]))
    assert message.recipients == [(f"everyone@{company.domain}", "group", None)]


def test_a_recipient_named_twice_is_answered_twice_and_kept_once(
    client: Client, company: Company, databases: Databases
):
    address = company.people[0].address
    envelope(client, "eve@elsewhere.example", address, address.upper())
    replies = data(client, MESSAGE, 2)
    assert client.ask("NOOP").startswith("250")
    assert len(stored(databases, accepted(replies[1])).recipients) == 1


def test_a_bounce_has_no_sender(client: Client, company: Company, databases: Databases):
    envelope(client, "", company.people[0].address)
    (reply,) = data(client, MESSAGE, 1)
    message = stored(databases, accepted(reply))
    assert message.envelope_sender == ""
    assert message.content.startswith(b"Return-Path: <>\r\n")


def test_postmaster_is_reached(client: Client, company: Company, databases: Databases):
    replies = envelope(client, "eve@elsewhere.example", f"PostMaster@{company.domain}")
    assert replies[0].startswith("250")
    message = stored(databases, accepted(data(client, MESSAGE, 1)[0]))
    assert message.recipients[0][2] == company.postmaster.id


def test_postmaster_without_a_domain_is_the_hosts(intake: Intake, databases: Databases):
    own = companies.found(databases, people=0)
    with databases.control() as connection:
        # intake calls itself mx.example.org
        connection.execute(
            "UPDATE address SET address = 'postmaster@example.org' WHERE account_id = %s", (own.postmaster.id,)
        )
    with Client(intake.lmtp) as client:
        client.ask("LHLO relay.example.net")
        assert client.ask("MAIL FROM:<eve@elsewhere.example>").startswith("250")
        assert client.ask("RCPT TO:<Postmaster>").startswith("250")
        (reply,) = data(client, MESSAGE, 1)
    assert stored(databases, accepted(reply)).recipients == [("postmaster@example.org", "account", own.postmaster.id)]


@pytest.mark.parametrize(
    ("recipient", "status"),
    [
        ("no-at-sign", "553 5.1.3"),
        ("a@b@", "553 5.1.3"),
        ("", "553 5.1.3"),
        ("two words@example.org", "553 5.1.3"),
        ('"quoted part"@example.org', "553 5.1.3"),
        ("x" * 300 + "@example.org", "553 5.1.3"),
    ],
)
def test_what_is_no_address_is_refused(client: Client, recipient: str, status: str):
    assert client.ask("MAIL FROM:<eve@elsewhere.example>").startswith("250")
    assert client.ask(f"RCPT TO:<{recipient}>").startswith(status)


@pytest.mark.parametrize("sender", ["a\rb@example.org", "a\0b@example.org", "a\rX-Forged: b"])
def test_a_sender_that_could_forge_a_header_is_refused(client: Client, sender: str):
    assert client.ask(f"MAIL FROM:<{sender}>").startswith("5")


def test_an_international_address_needs_smtputf8(client: Client, databases: Databases):
    domain = companies.unique_domain()
    own = companies.found(databases, people=1)
    companies.hire(databases, f"李雷@{own.domain}")
    assert client.ask("MAIL FROM:<eve@elsewhere.example>").startswith("250")
    assert client.ask(f"RCPT TO:<李雷@{own.domain}>").startswith("553 5.6.7")
    client.ask("RSET")
    assert client.ask(f"MAIL FROM:<zoë@{domain}> SMTPUTF8").startswith("250")
    assert client.ask(f"RCPT TO:<李雷@{own.domain}>").startswith("250")
    (reply,) = data(client, MESSAGE, 1)
    message = stored(databases, accepted(reply))
    assert message.envelope_sender == f"zoë@{domain}"
    assert b"with UTF8LMTP id" in message.content


def test_no_more_recipients_than_allowed(client: Client, company: Company):
    address = company.people[0].address
    replies = envelope(client, "eve@elsewhere.example", *[address] * 6)
    assert [reply[:3] for reply in replies] == ["250"] * 5 + ["452"]
    assert replies[5].startswith("452 4.5.3 ")
    assert len(data(client, MESSAGE, 5)) == 5
    assert client.ask("NOOP").startswith("250")


def test_a_message_that_announces_itself_as_too_large_is_refused_at_once(client: Client):
    assert client.ask("MAIL FROM:<eve@elsewhere.example> BODY=8BITMIME SIZE=100001").startswith("552 5.3.4")
    assert client.ask("MAIL FROM:<eve@elsewhere.example> SIZE=100000").startswith("250")


def test_a_message_that_turns_out_too_large_is_refused_for_every_recipient(
    client: Client, company: Company, databases: Databases
):
    before = count(databases)
    envelope(client, "eve@elsewhere.example", *(person.address for person in company.people))
    replies = data(client, MESSAGE + b"0123456789\r\n" * 9_000, 3)
    assert [reply[:9] for reply in replies] == ["552 5.3.4"] * 3
    assert client.ask("NOOP").startswith("250"), "the connection goes on"
    assert count(databases) == before


def test_the_largest_message_is_taken(client: Client, company: Company, databases: Databases):
    message = MESSAGE + b"x" * 998 + b"\r\n"
    message += b"y" * 78 + b"\r\n"
    filler = 100_000 - len(message)
    message += b"0123456789abcdef\r\n" * (filler // 18)
    message += b"z" * (100_000 - len(message) - 2) + b"\r\n"
    assert len(message) == 100_000
    envelope(client, "eve@elsewhere.example", company.people[0].address)
    (reply,) = data(client, message, 1)
    assert stored(databases, accepted(reply)).content.endswith(message)


def test_a_line_that_is_too_long_is_refused_for_every_recipient(client: Client, company: Company, databases: Databases):
    before = count(databases)
    for length in (999, 1001, 1003, 5000):
        envelope(client, "eve@elsewhere.example", *(person.address for person in company.people[:2]))
        replies = data(client, MESSAGE + b"x" * length + b"\r\n", 2)
        assert [reply[:9] for reply in replies] == ["554 5.6.0"] * 2
        assert "998" in replies[0]
    assert count(databases) == before


def test_a_long_line_may_begin_with_a_dot(client: Client, company: Company, databases: Databases):
    envelope(client, "eve@elsewhere.example", company.people[0].address)
    (reply,) = data(client, MESSAGE + b"..".ljust(999, b"x") + b"\r\n", 1)
    assert stored(databases, accepted(reply)).content.endswith(MESSAGE + b".".ljust(998, b"x") + b"\r\n")


def test_a_mail_loop_ends_here(client: Client, company: Company, databases: Databases):
    before = count(databases)
    envelope(client, "eve@elsewhere.example", *(person.address for person in company.people[:2]))
    replies = data(client, b"Received: from a by b; Mon, 2 Mar 2026 09:00:00 +0000\r\n" * 31 + MESSAGE, 2)
    assert [reply[:9] for reply in replies] == ["554 5.4.6"] * 2
    assert count(databases) == before


def test_a_sender_can_start_over(client: Client, company: Company):
    envelope(client, "eve@elsewhere.example", company.people[0].address)
    assert client.ask("RSET").startswith("250 2.0.0")
    assert client.ask("DATA").startswith("503")


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_any_message_comes_to_lie_as_it_came(path: Path, intake: Intake, company: Company, databases: Databases):
    content = path.read_bytes()
    with smtplib.LMTP(*intake.lmtp) as client:
        assert client.sendmail("eve@elsewhere.example", [company.people[0].address], content) == {}
    with databases.control() as connection:
        row = connection.execute("SELECT content FROM message_content ORDER BY message_id DESC LIMIT 1").fetchone()
    assert row is not None
    # smtplib sends bytes as they are, but for dots, which the other side takes off again
    assert bytes(row[0]).endswith(b"+0000\r\n" + content)


def test_nobody_is_named_in_the_log(intake: Intake, client: Client, company: Company):
    envelope(client, "eve@elsewhere.example", company.people[0].address, f"nobody@{company.domain}")
    accepted(data(client, MESSAGE, 1)[0])
    log = intake.log.read_text()
    assert '"event": "intake.accepted"' in log
    assert '"event": "intake.refused"' in log
    assert company.domain not in log
    assert "elsewhere.example" not in log
    assert "Good morning" not in log
