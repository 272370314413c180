"""The certificate that the embedded stack makes for itself."""

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta

import pytest

from mailrecall import clock
from mailrecall.embedded.certificate import Pair, is_named, self_signed

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def handshake(pair: Pair, name: str) -> str | None:
    """Let a strict client that trusts the certificate meet a server that has it; returns the TLS version."""
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(pair.certificate, pair.key)
    client_side = ssl.create_default_context(cafile=str(pair.certificate))
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    one, other = socket.socketpair()

    def serve() -> None:
        try:
            with server_side.wrap_socket(other, server_side=True) as connection:
                connection.recv(1)
        except OSError:
            pass

    server = threading.Thread(target=serve)
    server.start()
    try:
        with client_side.wrap_socket(one, server_hostname=name) as connection:
            return connection.version()
    finally:
        one.close()
        server.join(10)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "mail.example.org"])
def test_a_client_that_trusts_it_accepts_it_for_this_machine(tmp_path, name):
    pair = self_signed(tmp_path / "tls", "mail.example.org", now=clock.now())
    assert handshake(pair, name) == "TLSv1.3"


def test_it_is_for_no_other_name(tmp_path):
    pair = self_signed(tmp_path / "tls", "mail.example.org", now=clock.now())
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(pair, "mail.example.com")


def test_only_this_user_can_read_the_key(tmp_path):
    pair = self_signed(tmp_path / "tls", "localhost", now=NOW)
    assert stat.S_IMODE(pair.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(pair.key.parent.stat().st_mode) == 0o700


def test_it_is_kept(tmp_path):
    first = self_signed(tmp_path / "tls", "localhost", now=NOW).certificate.read_bytes()
    assert self_signed(tmp_path / "tls", "localhost", now=NOW + timedelta(days=367)).certificate.read_bytes() == first


def test_it_is_made_anew_before_it_runs_out(tmp_path):
    first = self_signed(tmp_path / "tls", "localhost", now=NOW).certificate.read_bytes()
    assert self_signed(tmp_path / "tls", "localhost", now=NOW + timedelta(days=369)).certificate.read_bytes() != first


def test_it_is_made_anew_for_another_host_name(tmp_path):
    self_signed(tmp_path / "tls", "localhost", now=clock.now())
    assert handshake(self_signed(tmp_path / "tls", "mail.example.org", now=clock.now()), "mail.example.org")


@pytest.mark.parametrize("damaged", ["certificate", "key"])
def test_a_damaged_pair_is_made_anew(tmp_path, damaged):
    pair = self_signed(tmp_path / "tls", "localhost", now=clock.now())
    getattr(pair, damaged).write_text("nothing of the kind")
    assert handshake(self_signed(tmp_path / "tls", "localhost", now=clock.now()), "localhost")


def test_a_key_of_another_certificate_is_noticed(tmp_path):
    pair = self_signed(tmp_path / "one", "localhost", now=clock.now())
    self_signed(tmp_path / "other", "localhost", now=clock.now()).key.replace(pair.key)
    assert handshake(self_signed(tmp_path / "one", "localhost", now=clock.now()), "localhost")


def test_a_host_name_that_no_certificate_can_have_is_left_out(tmp_path):
    pair = self_signed(tmp_path / "tls", "a" * 64 + ".example", now=clock.now())
    assert handshake(pair, "localhost")


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, False),
        ({"MAILRECALL_TLS_CERTIFICATE": "a.pem"}, True),
        ({"MAILRECALL_TLS_KEY": "a.pem"}, True),
        ({"MAILRECALL_TLS_CERTIFICATE_FILE": "/run/name"}, True),
    ],
)
def test_a_certificate_that_the_user_names_is_not_passed_over(environment, named):
    assert is_named(environment) == named
