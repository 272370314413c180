"""STLS (RFC 2595): a password travels encrypted, and nothing crosses from one side to the other."""

import base64
import poplib
import ssl

import pytest

from mailrecall import clock
from mailrecall.embedded.certificate import self_signed
from tests import company as companies
from tests.company import PASSWORD
from tests.pop3 import MESSAGE, Client, deliver, running


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("own") / "tls", "localhost", now=clock.now())


@pytest.fixture(scope="module")
def server(settings, pair, tmp_path_factory):
    """Every client counts as one from afar: what it must not say in the clear, it must not say at all."""
    folder = tmp_path_factory.mktemp("pop3")
    with running(
        settings, folder, tls_certificate=pair.certificate, tls_key=pair.key, plain_login="never"
    ) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def company(databases):
    return companies.found(databases, people=2)


@pytest.fixture
def trusting(pair):
    return ssl.create_default_context(cafile=str(pair.certificate))


@pytest.fixture
def client(server):
    with Client(server.address) as connected:
        yield connected


def test_a_library_of_somebody_else_fetches_encrypted(server, company, settings, databases, trusting):
    sender, owner = company.people
    deliver(settings, databases, sender, owner)
    mailbox = poplib.POP3("localhost", server.address[1])
    assert "STLS" in mailbox.capa()
    mailbox.stls(context=trusting)
    assert isinstance(mailbox.sock, ssl.SSLSocket)
    assert mailbox.sock.version() == "TLSv1.3"
    mailbox.user(owner.address)
    mailbox.pass_(PASSWORD)
    assert b"\r\n".join(mailbox.retr(1)[1]) + b"\r\n" == MESSAGE
    mailbox.quit()


def test_a_large_message_goes_encrypted(client, company, settings, databases, trusting):
    owner = companies.hire(databases, f"large@{company.domain}")
    content = MESSAGE + b"".join(b".%d\r\n" % number for number in range(300_000))
    deliver(settings, databases, company.people[0], owner, content=content)
    client.ask("STLS")
    client.encrypt(trusting)
    client.sign_in(owner)
    assert client.ask_lines("RETR 1").replace(b"\r\n..", b"\r\n.") == content
    assert client.ask("QUIT").startswith("+OK")


def credentials(account):
    return base64.b64encode(f"\0{account.address}\0{PASSWORD}".encode()).decode()


def test_a_password_in_the_clear_is_refused(client, company):
    owner = company.people[1]
    offered = client.ask_lines("CAPA").decode().splitlines()
    assert "STLS" in offered
    assert not {"USER", "SASL PLAIN"} & set(offered)
    assert client.ask_lines("AUTH") == b""
    for command in (f"USER {owner.address}", "AUTH PLAIN", f"AUTH PLAIN {credentials(owner)}"):
        assert client.ask(command).startswith("-ERR A password comes over an encrypted connection only")
    assert client.ask(f"PASS {PASSWORD}").startswith("-ERR")
    assert client.ask("STAT") == "-ERR Sign in first"


def test_encryption_starts_once_and_before_signing_in(client, company, trusting):
    assert client.ask("STLS") == "+OK Begin"
    client.encrypt(trusting)
    offered = client.ask_lines("CAPA").decode().splitlines()
    assert "STLS" not in offered
    assert {"USER", "SASL PLAIN"} <= set(offered)
    assert client.ask("STLS").startswith("-ERR")
    client.sign_in(company.people[1])
    assert client.ask("STLS").startswith("-ERR")
    assert client.ask("QUIT").startswith("+OK")


def test_who_was_named_in_the_clear_is_forgotten(settings, pair, company, trusting, tmp_path):
    with (
        running(settings, tmp_path, tls_certificate=pair.certificate, tls_key=pair.key) as server,
        Client(server.address) as client,
    ):
        client.ask(f"USER {company.people[0].address}")
        client.ask("STLS")
        client.encrypt(trusting)
        assert client.ask(f"PASS {PASSWORD}") == "-ERR USER comes first"


@pytest.mark.parametrize(
    "injected",
    [
        "NOOP\r\n",
        "CAPA\r\nQUIT\r\n",
        "USER {address}\r\nPASS {password}\r\nDELE 1\r\nQUIT\r\n",
        "AUTH PLAIN {credentials}\r\nSTAT\r\n",
        "STLS\r\nSTLS\r\n",
        "USER",  # no line end: it must not become the beginning of the first encrypted command either
    ],
)
def test_commands_injected_before_the_handshake_are_never_carried_out(injected, client, company, trusting):
    owner = company.people[1]
    extra = injected.format(address=owner.address, password=PASSWORD, credentials=credentials(owner))
    client.send(b"STLS\r\n" + extra.encode())
    # octet by octet, so that nothing of what follows is read as plain text
    assert read_line(client) == b"+OK Begin\r\n"
    client.encrypt(trusting)
    # a reply that nobody asked for would be taken for the reply to this
    assert client.ask("STAT") == "-ERR Sign in first"
    client.sign_in(owner)
    assert client.ask("QUIT").startswith("+OK")


def test_commands_injected_behind_a_slow_one_are_never_carried_out(settings, pair, company, trusting, tmp_path):
    """STLS waits for the sign-in before it, and what was appended waits behind both."""
    owner = company.people[1]
    with (
        running(settings, tmp_path, tls_certificate=pair.certificate, tls_key=pair.key) as server,
        Client(server.address) as client,
    ):
        client.send(
            f"USER {owner.address}\r\nPASS wrong\r\nSTLS\r\nUSER {owner.address}\r\nPASS {PASSWORD}\r\n".encode()
        )
        for expected in (b"+OK", b"-ERR [AUTH]", b"+OK Begin"):
            assert read_line(client).startswith(expected)
        client.encrypt(trusting)
        assert client.ask("STAT") == "-ERR Sign in first"


def read_line(client):
    line = b""
    while not line.endswith(b"\r\n"):
        octet = client.socket.recv(1)
        assert octet, "the connection ended"
        line += octet
    return line


def test_plain_text_instead_of_a_handshake_ends_the_connection(client, server):
    client.ask("STLS")
    client.send(b"CAPA\r\nQUIT\r\n")
    left = b""
    try:
        while more := client.socket.recv(4096):
            left += more
    except ConnectionResetError:
        pass
    assert b"+OK" not in left
    with Client(server.address) as another:
        assert another.ask("CAPA").startswith("+OK")


def test_an_old_version_of_tls_is_refused(client):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    client.ask("STLS")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        client.encrypt(old)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"tls_key": "key"}, r"MAILRECALL_TLS_KEY: .*both, or neither"),
        ({"tls_certificate": "key", "tls_key": "key"}, r"MAILRECALL_TLS_CERTIFICATE, .*PEM"),
    ],
)
def test_a_process_does_not_start_without_a_proper_pair(files, complaint, settings, pair, tmp_path):
    given = {name: getattr(pair, kind) for name, kind in files.items()}
    with pytest.raises(RuntimeError, match=complaint), running(settings, tmp_path, **given):
        pass
