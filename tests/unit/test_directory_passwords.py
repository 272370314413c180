"""Passwords and their hashes."""

import unicodedata

import argon2
import pytest

from mailrecall.directory import passwords
from mailrecall.directory.errors import Code
from tests import company
from tests.company import PASSWORD, refused


def test_a_password_is_verified_by_its_hash_only():
    hashed = passwords.hash_password(PASSWORD)
    assert hashed.startswith("$argon2id$")
    assert hashed != passwords.hash_password(PASSWORD)
    assert passwords.verify(hashed, PASSWORD)
    for wrong in (PASSWORD + "x", PASSWORD.upper(), "", "x" * 2000):
        assert not passwords.verify(hashed, wrong)


def test_nobody_has_a_password_and_being_refused_costs_the_same():
    """The hash that stands in for a missing one must be of the cost that new hashes have."""
    assert not passwords.verify(None, PASSWORD)
    fresh = argon2.extract_parameters(passwords.hash_password(PASSWORD))
    assert argon2.extract_parameters(passwords.NOBODYS_HASH) == fresh


def test_a_password_typed_on_another_system_is_the_same():
    hashed = passwords.hash_password(unicodedata.normalize("NFC", "Grüße aus Köln"))
    assert passwords.verify(hashed, unicodedata.normalize("NFD", "Grüße aus Köln"))


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
def test_a_password_of_the_wrong_length_is_refused(password):
    with refused(Code.PASSWORD_REFUSED):
        passwords.hash_password(password)


@pytest.mark.parametrize("kind", list(argon2.Type))
def test_an_argon2_hash_made_elsewhere_is_taken_as_it_is(kind):
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, type=kind).hash(PASSWORD)
    assert passwords.check_hash(hashed) == hashed
    assert passwords.verify(hashed, PASSWORD)
    assert not passwords.verify(hashed, "something else")


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        PASSWORD,
        "$argon2id$",
        "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW",
        "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ",
        # two gigabytes, or a thousand passes, for every sign-in would be somebody's joke
        "$argon2id$v=19$m=2097152,t=3,p=4$c2FsdHNhbHRzYWx0$" + "A" * 43,
        "$argon2id$v=19$m=65536,t=1000,p=4$c2FsdHNhbHRzYWx0$" + "A" * 43,
        pytest.param(company.password_hash() + "\x00", id="zero at the end"),
        pytest.param(company.password_hash() + "\n", id="line at the end"),
    ],
)
def test_what_is_no_argon2_hash_is_refused(hashed):
    with refused(Code.PASSWORD_REFUSED):
        passwords.check_hash(hashed)


@pytest.mark.parametrize("hashed", [PASSWORD, "$argon2id$", "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vj"])
def test_what_is_no_hash_lets_nobody_in(hashed):
    assert not passwords.verify(hashed, PASSWORD)
