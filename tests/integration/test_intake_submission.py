"""SMTP submission: who may send, as whom, to whom, and what is kept of it."""

import base64
import re
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes

import pytest

from mailrecall.directory import accounts
from mailrecall.directory.lookup import Account
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company as companies
from tests.company import PASSWORD, Company
from tests.intake import Client, Intake, count, running, stored

MESSAGE = (
    b"From: me@here.example\r\nSubject: Hello\r\nDate: Mon, 2 Mar 2026 09:00:00 +0000\r\n"
    b"Message-ID: <own@here.example>\r\n\r\nGood morning\r\n"
)


@pytest.fixture(scope="module")
def intake(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intake]:
    with running(settings, tmp_path_factory.mktemp("intake"), max_message_size=100_000) as running_intake:
        yield running_intake


@pytest.fixture(scope="module")
def company(databases: Databases) -> Company:
    return companies.found(databases, people=3)


@pytest.fixture
def sender(company: Company) -> Account:
    return company.people[0]


@pytest.fixture
def client(intake: Intake) -> Iterator[Client]:
    with Client(intake.smtp) as client:
        client.ask("EHLO laptop.example.net")
        yield client


def plain(address: str, password: str = PASSWORD) -> str:
    return base64.b64encode(f"\0{address}\0{password}".encode()).decode()


def last_id(databases: Databases) -> int:
    with databases.control() as connection:
        row = connection.execute("SELECT max(id) FROM message").fetchone()
    assert row is not None
    number: int = row[0]
    return number


@contextmanager
def signed_in(intake: Intake, account: Account) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP(*intake.smtp, local_hostname="laptop.example.net") as session:
        session.login(account.address, PASSWORD)
        yield session


def test_it_says_what_it_serves(intake: Intake):
    with Client(intake.smtp) as client:
        served = client.ask("EHLO laptop.example.net").splitlines()
    assert served[0] == "250-mx.example.org"
    assert {
        "250-PIPELINING",
        "250-ENHANCEDSTATUSCODES",
        "250-8BITMIME",
        "250-SMTPUTF8",
        "250-SIZE 100000",
        "250-AUTH LOGIN PLAIN",
    } <= set(served)


def test_nothing_goes_without_signing_in(client: Client):
    assert client.ask("MAIL FROM:<person0@example.org>").startswith("530 5.7.0")
    assert client.ask("RCPT TO:<person0@example.org>").startswith("530 5.7.0")
    assert client.ask("DATA").startswith("530 5.7.0")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda address: plain(address, "wrong"),
        lambda address: plain(address, ""),
        lambda address: plain("nobody@" + address.partition("@")[2]),
        lambda _address: plain("not an address"),
        lambda _address: base64.b64encode(b"\0\xff\xfe\0\xff").decode(),
    ],
    ids=["wrong password", "no password", "unknown", "no address", "not UTF-8"],
)
def test_wrong_credentials_are_refused_alike(wrong, client: Client, sender: Account):
    assert client.ask(f"AUTH PLAIN {wrong(sender.address)}") == "535 5.7.8 Authentication credentials invalid"
    assert client.ask(f"MAIL FROM:<{sender.address}>").startswith("530 5.7.0")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("AUTH PLAIN !!!", "501 5.5.2"),
        ("AUTH PLAIN AAAA AAAA", "501 5.5.4"),
        ("AUTH CRAM-MD5", "504 5.5.4"),
        ("AUTH", "501 5.5.4"),
    ],
)
def test_what_makes_no_sense_is_told(client: Client, command: str, status: str):
    assert client.ask(command).startswith(status)


def test_guessing_ends_with_the_connection(client: Client, sender: Account):
    replies = [client.ask(f"AUTH PLAIN {plain(sender.address, str(guess))}") for guess in range(6)]
    assert [reply[:3] for reply in replies] == ["535"] * 5 + ["421"]
    assert client.reply() == ""


def test_all_ways_to_sign_in(intake: Intake, sender: Account):
    with Client(intake.smtp) as client:
        client.ask("EHLO laptop")
        assert client.ask(f"auth plain {plain(sender.address)}").startswith("235 2.7.0")
        assert client.ask(f"AUTH PLAIN {plain(sender.address)}").startswith("503 5.5.1")
    with Client(intake.smtp) as client:
        client.ask("EHLO laptop")
        assert client.ask("AUTH PLAIN").startswith("334")
        assert client.ask(plain(sender.address)).startswith("235 2.7.0")
    with Client(intake.smtp) as client:
        client.ask("EHLO laptop")
        assert base64.b64decode(client.ask("AUTH LOGIN")[4:]) == b"Username:"
        assert base64.b64decode(client.ask(base64.b64encode(sender.address.encode()).decode())[4:]) == b"Password:"
        assert client.ask(base64.b64encode(PASSWORD.encode()).decode()).startswith("235 2.7.0")
    with Client(intake.smtp) as client:
        client.ask("EHLO laptop")
        assert client.ask("AUTH LOGIN").startswith("334")
        assert client.ask("*").startswith("501 5.7.0")


def test_a_submitted_message_has_its_author_and_a_copy_for_their_sent_folder(
    intake: Intake, company: Company, sender: Account, databases: Databases
):
    reader = company.people[1]
    with signed_in(intake, sender) as session:
        assert session.sendmail(sender.address, [reader.address], MESSAGE) == {}
    message = stored(databases, last_id(databases))
    assert message.channel == "submission"
    assert message.sender_account_id == sender.id
    assert message.envelope_sender == sender.address
    assert message.recipients == [(reader.address, "account", reader.id)]
    with databases.control() as connection:
        tasks = connection.execute(
            "SELECT task FROM outbox WHERE args @> jsonb_build_object('message_id', %s::bigint) ORDER BY id",
            (message.id,),
        ).fetchall()
    assert tasks == [("delivery.expand",), ("delivery.file_author_copy",)]


def test_only_received_is_added_to_a_complete_message(intake: Intake, sender: Account, databases: Databases):
    with signed_in(intake, sender) as session:
        session.sendmail(sender.address, [sender.address], MESSAGE)
    content = stored(databases, last_id(databases)).content
    assert content.endswith(MESSAGE)
    added = content.removesuffix(MESSAGE).decode()
    assert re.fullmatch(
        r"Received: from laptop\.example\.net \(\[127\.0\.0\.1\]\)\r\n"
        r"\tby mx\.example\.org with ESMTPA id [0-9a-f]+;\r\n"
        r"\t\w{3}, \d\d \w{3} \d{4} [0-9:]{8} \+0000\r\n",
        added,
    )


def test_date_and_message_id_are_added_where_they_are_missing(intake: Intake, sender: Account, databases: Databases):
    bare = b"From: me@here.example\r\nSubject: Hello\r\n\r\nDate: of the meeting\r\nMessage-ID: none\r\n"
    with signed_in(intake, sender) as session:
        session.sendmail(sender.address, [sender.address], bare)
    content = stored(databases, last_id(databases)).content
    assert content.endswith(bare)
    message = message_from_bytes(content)
    assert message.keys() == ["Received", "Date", "Message-ID", "From", "Subject"]
    assert re.fullmatch(r"<[\w-]{20,}@mx\.example\.org>", message["Message-ID"])


def test_somebody_elses_address_is_refused(intake: Intake, company: Company, sender: Account, databases: Databases):
    before = count(databases)
    with signed_in(intake, sender) as session:
        for other in (company.people[1].address, f"nobody@{company.domain}", "me@elsewhere.example", '"q"@x.example'):
            assert session.mail(other)[0] == 553
            assert session.mail(other)[1].startswith(b"5.7.1 ")
        assert session.mail(sender.address)[0] == 250
    assert count(databases) == before


def test_an_alias_and_a_tag_are_ones_own(intake: Intake, company: Company, sender: Account, databases: Databases):
    with databases.control() as connection:
        accounts.add_alias(connection, company.address("sales"), company.address("person0"))
    with signed_in(intake, sender) as session:
        for own in (f"sales@{company.domain}", sender.address.replace("@", "+lists@"), sender.address.upper()):
            assert session.mail(own)[0] == 250
            session.rset()


def test_a_null_reverse_path_is_allowed(intake: Intake, company: Company, sender: Account, databases: Databases):
    with signed_in(intake, sender) as session:
        session.sendmail("", [company.people[1].address], MESSAGE)
    message = stored(databases, last_id(databases))
    assert message.envelope_sender == ""
    assert message.sender_account_id == sender.id


def test_an_account_closed_in_the_meantime_sends_nothing(intake: Intake, company: Company, databases: Databases):
    leaver = companies.hire(databases, f"leaver@{company.domain}")
    with signed_in(intake, leaver) as session:
        with databases.control() as connection:
            connection.execute("UPDATE account SET closed_at = now() WHERE id = %s", (leaver.id,))
        assert session.mail(leaver.address)[0] == 550
        assert session.mail("")[0] == 550
    with pytest.raises(smtplib.SMTPAuthenticationError), signed_in(intake, leaver):
        pass


def test_unknown_and_external_recipients_are_refused_with_the_reason(intake: Intake, company: Company, sender: Account):
    with signed_in(intake, sender) as session:
        session.mail(sender.address)
        code, said = session.rcpt(f"nobody@{company.domain}")
        assert (code, said[:6]) == (550, b"5.1.1 ")
        code, said = session.rcpt("someone@elsewhere.example")
        assert (code, said[:6]) == (550, b"5.7.1 ")
        assert b"no smarthost is set" in said
        assert session.docmd("DATA")[0] == 503


def test_external_recipients_are_taken_with_a_smarthost(
    settings: Settings, sender: Account, databases: Databases, tmp_path
):
    with running(settings, tmp_path, smarthost="127.0.0.1:1") as intake, signed_in(intake, sender) as session:
        assert session.sendmail(sender.address, ["Some.One@Elsewhere.Example"], MESSAGE) == {}
    message = stored(databases, last_id(databases))
    # the local part is another host's business, and stays as it was written
    assert message.recipients == [("Some.One@elsewhere.example", "external", None)]


def test_large_messages_are_refused_before_and_after(intake: Intake, sender: Account, databases: Databases):
    before = count(databases)
    with signed_in(intake, sender) as session:
        assert session.mail(sender.address, ["SIZE=100001"])[1].startswith(b"5.3.4 ")
        with pytest.raises(smtplib.SMTPSenderRefused):
            session.sendmail(sender.address, [sender.address], MESSAGE + b"0123456789\r\n" * 10_000)
        session.mail(sender.address)
        session.rcpt(sender.address)
        code, said = session.data(MESSAGE + b"0123456789\r\n" * 10_000)
        assert (code, said[:6]) == (552, b"5.3.4 ")
        assert session.noop()[0] == 250
    assert count(databases) == before


def test_international_mail(intake: Intake, company: Company, databases: Databases):
    author = companies.hire(databases, f"李雷@{company.domain}")
    content = f"From: {author.address}\r\nSubject: 会议纪要\r\n\r\n各位同事\r\n".encode()
    with smtplib.SMTP(*intake.smtp) as session:
        session.ehlo()
        assert session.docmd("AUTH", f"PLAIN {plain(author.address)}")[0] == 235
        assert session.sendmail(author.address, [author.address], content, ["SMTPUTF8", "BODY=8BITMIME"]) == {}
    message = stored(databases, last_id(databases))
    assert message.subject == "会议纪要"
    assert message.content.endswith(content)
    assert b"with UTF8SMTPA id" in message.content


def test_mail_parameters(intake: Intake, sender: Account):
    with signed_in(intake, sender) as session:
        assert session.mail(sender.address, ["AUTH=<>", "BODY=8BITMIME"])[0] == 250
        session.rset()
        assert session.mail(sender.address, ["RET=HDRS"])[0] == 555
        assert session.mail(sender.address, ["BODY=BINARYMIME"])[0] == 501


def test_pipelined_commands_are_answered_in_order(intake: Intake, company: Company, sender: Account):
    commands = [
        f"MAIL FROM:<{sender.address}>",
        *(f"RCPT TO:<{person.address}>" for person in company.people),
        f"RCPT TO:<nobody@{company.domain}>",
        "DATA",
    ]
    with Client(intake.smtp) as client:
        client.ask("EHLO laptop")
        client.ask(f"AUTH PLAIN {plain(sender.address)}")
        client.send("".join(f"{command}\r\n" for command in commands).encode())
        assert [client.reply()[:3] for _ in commands] == ["250", "250", "250", "250", "550", "354"]
        client.send(MESSAGE + b".\r\nNOOP\r\nQUIT\r\n")
        assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "221"]


@pytest.mark.parametrize("when", ["never", "always"])
def test_whether_a_password_may_come_in_the_clear_is_a_setting(
    when: str, settings: Settings, sender: Account, tmp_path
):
    with running(settings, tmp_path, plain_login=when) as intake, Client(intake.smtp) as client:
        offered = "AUTH" in client.ask("EHLO laptop")
        reply = client.ask(f"AUTH PLAIN {plain(sender.address)}")
    assert (offered, reply[:9]) == ((True, "235 2.7.0") if when == "always" else (False, "538 5.7.11"[:9]))


def test_nothing_secret_is_in_the_log(intake: Intake, client: Client, sender: Account):
    client.ask(f"AUTH PLAIN {plain(sender.address, 'a secret password')}")
    client.ask(f"AUTH PLAIN {plain(sender.address)}")
    client.ask("MAIL FROM:<other@elsewhere.example>")
    log = intake.log.read_text()
    assert '"event": "intake.signed_in"' in log
    assert '"event": "intake.login_failed"' in log
    for secret in ("a secret password", PASSWORD, plain(sender.address), sender.address, "elsewhere.example"):
        assert secret not in log
