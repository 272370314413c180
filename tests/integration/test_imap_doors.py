"""Who gets in over IMAP, how safely, and limits that no client passes."""

import imaplib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailrecall import clock
from mailrecall.demo.client import wait_for
from mailrecall.directory.lookup import Account
from mailrecall.embedded.certificate import Pair, self_signed
from mailrecall.embedded.ports import free_ports
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company, imap
from tests.company import PASSWORD, Company
from tests.imap import Client, Imap
from tests.listening import PATIENCE
from tests.post import deliver

PLAIN = (Path(__file__).parents[1] / "messages" / "plain.eml").read_bytes()


@pytest.fixture(scope="module")
def server(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imap]:
    with imap.running(settings, tmp_path_factory.mktemp("imap")) as running:
        yield running


@pytest.fixture(scope="module")
def staff(databases: Databases, settings: Settings) -> Company:
    """Two people; the second has a message from the first."""
    firm = company.found(databases, people=2)
    deliver(databases, settings, PLAIN, *firm.people)
    return firm


@pytest.fixture
def reader(staff: Company) -> Account:
    return staff.people[1]


def test_a_client_that_is_not_trusted_with_a_password_is_not_asked_for_one(settings: Settings, tmp_path: Path):
    with imap.running(settings, tmp_path, plain_login="never") as server, Client(server.address) as client:
        assert "LOGINDISABLED" in client.capabilities
        assert not [name for name in client.capabilities if name.startswith("AUTH=")]
        with pytest.raises(imaplib.IMAP4.error):
            client.login("somebody@example.org", PASSWORD)
        assert "STARTTLS" not in client.capabilities


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return self_signed(tmp_path_factory.mktemp("own") / "tls", "localhost", now=clock.now())


@pytest.fixture(scope="module")
def encrypted(settings: Settings, pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imap]:
    """Every client counts as one from afar."""
    (port,) = free_ports(1)
    with imap.running(
        settings,
        tmp_path_factory.mktemp("imap"),
        tls_certificate=pair.certificate,
        tls_key=pair.key,
        plain_login="never",
        imaps_bind=f"127.0.0.1:{port}",
    ) as running:
        yield running


def trusting(pair: Pair) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pair.certificate))
    context.check_hostname = False
    return context


def test_starttls_makes_a_password_safe(encrypted: Imap, pair: Pair, reader: Account):
    with Client(encrypted.address) as client:
        assert "LOGINDISABLED" in client.capabilities
        client.starttls(trusting(pair))
        client.login(reader.address, PASSWORD)
        assert client.open_folder("INBOX") == 1
        assert client.octets(1, "BODY.PEEK[]") == PLAIN


def test_a_port_of_its_own_is_encrypted_from_the_start(encrypted: Imap, pair: Pair, reader: Account):
    assert encrypted.encrypted is not None
    with imaplib.IMAP4_SSL(*encrypted.encrypted, ssl_context=trusting(pair), timeout=PATIENCE) as client:
        assert "STARTTLS" not in client.capabilities
        client.authenticate("PLAIN", lambda _: f"\0{reader.address}\0{PASSWORD}".encode())


def test_a_command_sent_ahead_of_the_encryption_is_not_taken_for_encrypted(encrypted: Imap):
    with socket.create_connection(encrypted.address, timeout=PATIENCE) as connection:
        connection.recv(1000)
        connection.sendall(b"a STARTTLS\r\nb CAPABILITY\r\n")
        answer = b""
        while piece := connection.recv(1000):
            answer += piece
        assert answer.startswith(b"a OK ")
        assert b"b OK" not in answer


@pytest.mark.parametrize(
    "sign_in",
    [
        lambda client, login: client.login(login, "wrong"),
        lambda client, login: client.authenticate("PLAIN", lambda _: f"\0{login}\0wrong".encode()),
    ],
    ids=["LOGIN", "AUTHENTICATE PLAIN"],
)
def test_a_wrong_password_is_refused(server: Imap, reader: Account, sign_in: Callable[[Client, str], None]):
    with Client(server.address) as client, pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        sign_in(client, reader.address)


def test_nobody_signs_in_as_somebody_else(server: Imap, staff: Company):
    one, other = staff.people
    with Client(server.address) as client, pytest.raises(imaplib.IMAP4.error):
        client.authenticate("PLAIN", lambda _: f"{other.address}\0{one.address}\0{PASSWORD}".encode())


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"a LOGIN {999999999+}\r\nx", b"* BYE The literal is too large."),
        (b"a LOGIN {999999999}\r\n", b"* BYE The literal is too large."),
        (b"a " + b"x" * 600_000, b"* BYE The line is too long."),
    ],
    ids=["literal", "literal that waits", "line"],
)
def test_a_stranger_cannot_make_the_server_hold_much(server: Imap, sent: bytes, answer: bytes):
    with socket.create_connection(server.address, timeout=PATIENCE) as connection:
        connection.recv(1000)
        connection.sendall(sent)
        assert connection.recv(1000).startswith(answer)


def test_credentials_that_are_no_text_are_refused_and_the_session_goes_on(server: Imap, reader: Account):
    with Client(server.address) as client:
        with pytest.raises(imaplib.IMAP4.error, match="not UTF-8"):
            client.authenticate("PLAIN", lambda _: b"\0\xff\xfe\0secret")
        client.login(reader.address, company.PASSWORD)
        assert client.open_folder("INBOX") >= 1


def test_a_name_with_a_shift_that_does_not_end_is_the_name_of_no_folder(server: Imap, reader: Account):
    with Client(server.address, reader) as client:
        status, said = client.select('"&AGE"')
        assert status == "NO", said
        assert client.noop()[0] == "OK"


def test_a_message_that_is_too_large_is_refused(settings: Settings, tmp_path: Path, reader: Account):
    with (
        imap.running(settings, tmp_path, max_message_size=2000) as server,
        Client(server.address, reader) as client,
    ):
        # before it is sent: the client waits to be told to go on
        with pytest.raises(imaplib.IMAP4.error):
            client.append("INBOX", "", "", b"Subject: much\r\n\r\n" + b"x" * 3000)
        assert client.open_folder("INBOX") == 1


@pytest.mark.parametrize(
    ("command", "large"),
    [
        (["SEARCH", "TEXT", "nowhere"], b"Subject: much\r\n\r\n" + b"x" * 8_000_000),
        (["FETCH", "1:*", "(ENVELOPE)"], b"Subject: much\r\nX-Long: " + b"y" * 20_000 + b"\r\n\r\n" + b"x" * 8_000_000),
        (["SEARCH", "SUBJECT", "nowhere"], b"Subject: m\r\nX-Long: " + b"y" * 20_000 + b"\r\n\r\n" + b"x" * 8_000_000),
    ],
    ids=["search text", "envelopes behind long headers", "search headers"],
)
def test_the_server_holds_one_large_message_at_a_time(
    settings: Settings, databases: Databases, tmp_path: Path, command: list[str], large: bytes
):
    (owner,) = company.found(databases, people=1).people
    with imap.running(settings, tmp_path) as server, Client(server.address, owner) as client:
        client.append("INBOX", "", "", large)
        client.noop()
        for _ in range(6):
            client.ok("COPY", "1:*", "INBOX")
        client.noop()
        assert len(client.uids()) == 64
        before = _most_memory(server)
        client.ok(*command)
        # what takes it apart needs a few times its length
        assert _most_memory(server) - before < 16 * len(large)


def _most_memory(server: Imap) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def test_a_silent_client_is_dismissed(settings: Settings, tmp_path: Path):
    with imap.running(settings, tmp_path, imap_timeout=0.5) as server, Client(server.address) as client:
        assert client.readline() == b"* BYE Silent for too long.\r\n"


def test_a_stranger_has_less_time_than_who_signed_in(settings: Settings, tmp_path: Path, reader: Account):
    with (
        imap.running(settings, tmp_path, imap_login_timeout=1) as server,
        Client(server.address, reader) as client,
        Client(server.address) as stranger,
    ):
        assert stranger.readline() == b"* BYE Silent for too long.\r\n"
        assert client.noop()[0] == "OK"


def test_clients_beyond_the_limit_are_turned_away(settings: Settings, tmp_path: Path, reader: Account):
    def signed_in() -> Client | None:
        try:
            return Client(narrow.address, reader)
        except imaplib.IMAP4.error:
            return None  # the one that looked whether the server listens has not left yet

    with imap.running(settings, tmp_path, imap_connections=1) as narrow, wait_for("A place", signed_in) as client:
        with pytest.raises(imaplib.IMAP4.error, match="Too many connections"):
            Client(narrow.address)
        assert client.noop()[0] == "OK"


def test_a_stop_tells_idling_clients(settings: Settings, tmp_path: Path, reader: Account):
    with imap.running(settings, tmp_path) as server, Client(server.address, reader) as client:
        client.idle()
        assert server.stop() == 0
        assert client.told().startswith(b"* BYE ")


@pytest.mark.rule(23)
def test_r23_nothing_that_people_write_is_logged(settings: Settings, tmp_path: Path, reader: Account):
    with imap.running(settings, tmp_path, log_level="DEBUG") as server:
        with Client(server.address, reader) as client:
            client.octets(1, "BODY[]")
        server.stop()
        log = server.log.read_text()
    assert "imap.listening" in log
    for secret in (reader.address, PASSWORD, "Subject:"):
        assert secret not in log
