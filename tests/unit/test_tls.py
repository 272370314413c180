"""Certificates in the settings: what is accepted, and what a process refuses to start with."""

import ssl

import pytest
from cryptography.hazmat.primitives import serialization

from mailrecall import clock, tls
from mailrecall.embedded.certificate import Pair, self_signed
from mailrecall.settings import Settings, SettingsError, load

ENVIRONMENT = {
    "MAILRECALL_CONTROL_URL": "postgresql://control/mailrecall",
    "MAILRECALL_SHARD_URLS": "postgresql://shard/mailrecall",
    "MAILRECALL_BROKER_URL": "redis://broker",
}


def settings(certificate: object, key: object) -> Settings:
    return load(
        Settings, {**ENVIRONMENT, "MAILRECALL_TLS_CERTIFICATE": str(certificate), "MAILRECALL_TLS_KEY": str(key)}
    )


@pytest.fixture
def pair(tmp_path) -> Pair:
    return self_signed(tmp_path / "tls", "localhost", now=clock.now())


def test_without_a_certificate_there_is_no_encryption():
    assert tls.server_context(load(Settings, ENVIRONMENT)) is None


def test_nothing_older_than_tls_1_2(pair):
    context = tls.server_context(settings(pair.certificate, pair.key))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("alone", ["MAILRECALL_TLS_CERTIFICATE", "MAILRECALL_TLS_KEY"])
def test_one_without_the_other_is_refused(alone):
    with pytest.raises(SettingsError, match="set MAILRECALL_TLS_CERTIFICATE and MAILRECALL_TLS_KEY both, or neither"):
        load(Settings, {**ENVIRONMENT, alone: "file.pem"})


def test_a_file_that_is_not_there(pair):
    with pytest.raises(SettingsError, match=r"cannot read .*gone\.pem.*No such file"):
        tls.server_context(settings(pair.certificate.with_name("gone.pem"), pair.key))


@pytest.mark.parametrize("damaged", ["certificate", "key"])
def test_a_file_that_is_something_else(pair, damaged):
    getattr(pair, damaged).write_text("-----BEGIN NOTHING-----\n")
    with pytest.raises(SettingsError, match="are not a certificate and its key in PEM"):
        tls.server_context(settings(pair.certificate, pair.key))


def test_a_key_of_another_certificate(pair, tmp_path):
    other = self_signed(tmp_path / "other", "localhost", now=clock.now())
    with pytest.raises(SettingsError, match="are not a certificate and its key in PEM"):
        tls.server_context(settings(pair.certificate, other.key))


def test_an_encrypted_key_is_refused_and_nobody_asked_for_its_passphrase(pair):
    key = serialization.load_pem_private_key(pair.key.read_bytes(), password=None)
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(SettingsError, match="store it without a passphrase"):
        tls.server_context(settings(pair.certificate, pair.key))
