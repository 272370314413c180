"""STARTTLS on submission (RFC 3207): a password travels encrypted, and nothing crosses from one side to the other."""

import base64
import smtplib
import socket
import ssl
from collections.abc import Iterator

import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.embedded.certificate import Pair, self_signed
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company as companies
from tests.company import PASSWORD
from tests.intake import Client, Intake, count, running, stored


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return self_signed(tmp_path_factory.mktemp("own") / "tls", "localhost", now=clock.now())


@pytest.fixture(scope="module")
def intake(settings: Settings, pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intake]:
    """Every client counts as one from afar: what it must not say in the clear, it must not say at all."""
    with running(
        settings,
        tmp_path_factory.mktemp("intake"),
        tls_certificate=pair.certificate,
        tls_key=pair.key,
        plain_login="never",
    ) as running_intake:
        yield running_intake


@pytest.fixture(scope="module")
def sender(databases: Databases) -> Account:
    return companies.found(databases, people=1).people[0]


@pytest.fixture
def trusting(pair: Pair) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(pair.certificate))


def credentials(sender: Account) -> str:
    return base64.b64encode(f"\0{sender.address}\0{PASSWORD}".encode()).decode()


def test_a_message_goes_encrypted(intake: Intake, sender: Account, trusting: ssl.SSLContext, databases: Databases):
    with smtplib.SMTP("localhost", intake.smtp[1]) as client:
        client.starttls(context=trusting)
        client.login(sender.address, PASSWORD)
        client.mail(sender.address)
        client.rcpt(sender.address)
        code, said = client.data("Subject: Encrypted\r\n\r\nGood morning.\r\n")
    assert code == 250
    message = stored(databases, int(said.rsplit(b" ", 1)[1]))
    assert (message.subject, message.sender_account_id) == ("Encrypted", sender.id)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_password_in_the_clear_is_refused(intake: Intake, sender: Account, mechanism: str):
    with Client(intake.smtp) as client:
        offered = client.ask("EHLO laptop")
        assert "STARTTLS" in offered
        assert "AUTH" not in offered
        assert client.ask(f"AUTH {mechanism} {credentials(sender)}").startswith("538 5.7.11")


def test_after_starttls_the_client_starts_over(intake: Intake, sender: Account, trusting: ssl.SSLContext):
    with Client(intake.smtp) as client:
        client.ask("EHLO laptop")
        assert client.ask("STARTTLS").startswith("220")
        client.encrypt(trusting)
        assert client.ask(f"AUTH PLAIN {credentials(sender)}").startswith("503")
        offered = client.ask("EHLO laptop")
        assert "AUTH" in offered
        assert "STARTTLS" not in offered
        assert client.ask("STARTTLS").startswith(("454", "503"))
        assert client.ask(f"AUTH PLAIN {credentials(sender)}").startswith("235")


@pytest.mark.parametrize(
    "injected",
    [
        "EHLO attacker\r\n",
        "EHLO attacker\r\nAUTH PLAIN {credentials}\r\nMAIL FROM:<{address}>\r\nRCPT TO:<{address}>\r\nDATA\r\n",
        "NOOP",  # no line end: it must not become the beginning of the first encrypted command either
        "MAIL FROM:<{address}>\r\n",
    ],
)
def test_commands_injected_before_the_handshake_are_never_carried_out(
    injected: str, intake: Intake, sender: Account, trusting: ssl.SSLContext, databases: Databases
):
    """RFC 3207 section 4.2, CVE-2011-0411: what an attacker appends to STARTTLS in the clear."""
    before = count(databases)
    with Client(intake.smtp) as client:
        client.ask("EHLO laptop")
        extra = injected.format(address=sender.address, credentials=credentials(sender))
        client.send(b"STARTTLS\r\n" + extra.encode())
        assert client.reply().startswith("220")
        client.encrypt(trusting)
        # a reply that nobody asked for would be taken for the reply to this
        assert client.ask("MAIL FROM:<me@here.example>").startswith("503"), "no EHLO of the attacker's counts"
        assert client.ask("EHLO laptop").startswith("250")
        assert client.ask("MAIL FROM:<me@here.example>").startswith("530"), "nor a sign-in"
        assert client.ask("QUIT").startswith("221")
    assert count(databases) == before


def test_plain_text_instead_of_a_handshake_ends_the_connection(intake: Intake):
    with Client(intake.smtp) as client:
        client.ask("EHLO laptop")
        client.ask("STARTTLS")
        client.send(b"EHLO laptop\r\n")
        client.socket.settimeout(20)
        left = b""
        while more := client.socket.recv(4096):
            left += more
        assert b"250" not in left


def test_an_old_version_of_tls_is_refused(intake: Intake):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with smtplib.SMTP(*intake.smtp) as client, pytest.raises((ssl.SSLError, ConnectionResetError)):
        client.starttls(context=old)


def test_lmtp_offers_none(intake: Intake):
    with Client(intake.lmtp) as client:
        assert "STARTTLS" not in client.ask("LHLO relay")


def test_a_client_that_leaves_in_the_middle_of_the_handshake_harms_nobody(intake: Intake, trusting: ssl.SSLContext):
    for _ in range(5):
        with Client(intake.smtp) as client:
            client.ask("EHLO laptop")
            client.ask("STARTTLS")
            client.socket.shutdown(socket.SHUT_WR)
    with smtplib.SMTP("localhost", intake.smtp[1]) as client:
        client.starttls(context=trusting)
        assert client.ehlo()[0] == 250


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"tls_certificate": "certificate"}, r"MAILRECALL_TLS_KEY: .*both, or neither"),
        ({"tls_certificate": "certificate", "tls_key": "certificate"}, r"MAILRECALL_TLS_CERTIFICATE, .*PEM"),
    ],
)
def test_a_process_does_not_start_without_a_proper_pair(
    files: dict[str, str], complaint: str, settings: Settings, pair: Pair, tmp_path
):
    given = {name: getattr(pair, kind) for name, kind in files.items()}
    with pytest.raises(RuntimeError, match=complaint), running(settings, tmp_path, **given):
        pass
