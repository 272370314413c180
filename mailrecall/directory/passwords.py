"""Passwords are kept as argon2id hashes (RFC 9106) and never otherwise."""

import re
import unicodedata
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mailrecall.directory.errors import Code, DirectoryError

SHORTEST: Final = 8
LONGEST: Final = 1024

_MOST_MEMORY: Final = 1024 * 1024
_MOST_PASSES: Final = 100
_HASHER: Final = PasswordHasher()
_HASH = re.compile(
    r"\$argon2(?:id|i|d)\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=\d{1,2}\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,172}"
)

# Of a password that nobody knows, at the hasher's own cost: checked where there is no account, so that the time an
# answer takes does not tell which addresses exist.
NOBODYS_HASH: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$fD8ZNzb0F31sZVHCBBBEqg$/CSJtjBchv/WqHiH7oDTf50T2X5lU4zBKSzpO3HePN0"
)


def hash_password(password: str) -> str:
    """Return the hash to store for a new password.

    Raises:
        DirectoryError: it is shorter than 8 characters or longer than 1,024.
    """
    return _HASHER.hash(_prepared(check_new(password)))


def check_new(password: str) -> str:
    """Return a password that somebody wants to have.

    Raises:
        DirectoryError: it is shorter than 8 characters or longer than 1,024.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise DirectoryError(
            Code.PASSWORD_REFUSED, f"A password has {SHORTEST} to {LONGEST} characters; choose another one."
        )
    return password


def verify(password_hash: str | None, password: str) -> bool:
    """Tell whether the password belongs to the hash; without a hash the answer is no and takes as long."""
    if len(password) > LONGEST:
        return False
    try:
        _HASHER.verify(password_hash or NOBODYS_HASH, _prepared(password))
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def check_hash(password_hash: str) -> str:
    """Return a hash made elsewhere, when it is one that can be verified here.

    Raises:
        DirectoryError: it is no encoded argon2 hash, or one that would cost far too much at every sign-in.
    """
    found = _HASH.fullmatch(password_hash)
    if found is None:
        raise DirectoryError(
            Code.PASSWORD_REFUSED,
            "A password_hash must be an encoded argon2 hash such as $argon2id$v=19$m=65536,t=3,p=4$…$…",
        )
    if int(found[1]) > _MOST_MEMORY or int(found[2]) > _MOST_PASSES:
        raise DirectoryError(
            Code.PASSWORD_REFUSED,
            f"A password_hash may ask for m={_MOST_MEMORY} (KiB) and t={_MOST_PASSES} at most; hash with less.",
        )
    return password_hash


def _prepared(password: str) -> bytes:
    # RFC 8265 section 4.2: the same password typed on two systems must be the same octets
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
