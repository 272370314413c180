"""The stack's own certificate: signed by itself, for this machine's names, so that mail clients can encrypt at once.

Clients are told to trust the file, or asked whether they do. An installation that others use has one from an authority,
and names it in `MAILRECALL_TLS_CERTIFICATE` and `MAILRECALL_TLS_KEY`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mailrecall.embedded.folder import write_private
from mailrecall.settings import PREFIX

_LIFETIME = timedelta(days=398)
"""What clients accept of a server's certificate at most."""
_RENEWED_BEFORE = timedelta(days=30)
_ADDRESSES = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, in PEM files."""

    certificate: Path
    key: Path


def is_named(environment: Mapping[str, str]) -> bool:
    """Tell whether the user has named a certificate, or part of one: then the stack makes none."""
    names = (f"{PREFIX}TLS_CERTIFICATE", f"{PREFIX}TLS_KEY")
    return any(name in environment or f"{name}_FILE" in environment for name in names)


def self_signed(folder: Path, hostname: str, *, now: datetime) -> Pair:
    """Return the pair that lies in a folder; make it if it is not there, runs out within a month, or has other names.

    Args:
        folder: where it lies; its parent exists.
        hostname: the host's name, which it is for besides `localhost` and the loopback addresses.
        now: the present moment.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    pair = Pair(folder / "certificate.pem", folder / "key.pem")
    names = list(dict.fromkeys(("localhost", _ascii(hostname))))
    if not _serves(pair, names, now):
        _make(pair, names, now)
    return pair


def _serves(pair: Pair, names: list[str], now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        key = serialization.load_pem_private_key(pair.key.read_bytes(), password=None)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return (
        found.get_values_for_type(x509.DNSName) == names
        and certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - _RENEWED_BEFORE
        and certificate.public_key() == key.public_key()
    )


def _make(pair: Pair, names: list[str], now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Mail Recall on this machine")])
    alternatives: list[x509.GeneralName] = [x509.DNSName(dns) for dns in names]
    alternatives += [x509.IPAddress(ip_address(address)) for address in _ADDRESSES]
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # clocks differ
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(identifier.digest, None, None), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    # the key first: a certificate without its key would be found and used
    write_private(
        pair.key,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode("ascii"),
    )
    write_private(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"))


def _ascii(hostname: str) -> str:
    try:
        return hostname.encode("idna").decode("ascii")
    except UnicodeError:
        return "localhost"
