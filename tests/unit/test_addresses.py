"""Addresses as the directory compares them."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailrecall.domain.addresses import Address, AddressError, canonical_domain


def test_an_address_keeps_how_it_was_written_for_hosts_elsewhere():
    address = Address.parse(" Ada.Lund@Bücher.Example ")
    assert str(address) == "ada.lund@xn--bcher-kva.example"
    assert address.as_written == "Ada.Lund@xn--bcher-kva.example"
    assert address == Address.parse("ADA.lund@bücher.example")
    assert Address("ada", "x.example").as_written == "ada@x.example"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  ada@example.com\n", "ada@example.com"),
        ("Ada.Lovelace@Example.COM", "ada.lovelace@example.com"),
        ("o'brien!#$%&*/=?^_`{|}~-@example.com", "o'brien!#$%&*/=?^_`{|}~-@example.com"),
        ("ada@localhost", "ada@localhost"),
        ("ada@1-2.3.example", "ada@1-2.3.example"),
        ("ADA+List@example.com", "ada+list@example.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
        ("a@" + ".".join(["b" * 62] * 4), "a@" + ".".join(["b" * 62] * 4)),
        # RFC 6531 names: folded and composed, so that one person cannot be two
        ("用户@例子.中国", "用户@xn--fsqu00a.xn--fiqs8s"),
        ("José@example.com", "josé@example.com"),
        ("ДИМА@example.com", "дима@example.com"),
        # one domain, whichever way it is written (RFC 5891)
        ("ada@Bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
        ("ada@例子。中国", "ada@xn--fsqu00a.xn--fiqs8s"),
        ("ada@straße.example", "ada@xn--strae-oqa.example"),
    ],
)
def test_an_address_has_one_spelling(text, canonical):
    assert str(Address.parse(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@example.com",
        "ada@@example.com",
        "ada lovelace@example.com",
        ".ada@example.com",
        "ada.@example.com",
        "a..da@example.com",
        '"ada"@example.com',
        "ada(comment)@example.com",
        "<ada@example.com>",
        "ada@example.com, bob@example.com",
        "ada\r\nbcc:bob@example.com",
        "ada\x00@example.com",
        "ada@exa mple.com",
        "ada@-example.com",
        "ada@example-.com",
        "ada@example..com",
        "ada@.example.com",
        "ada@example.com.",
        "ada@[127.0.0.1]",
        "ada@exa_mple.com",
        "ada@a_ü.example",
        "ada@" + "b" * 64 + ".example",
        "ada@" + ".".join(["b" * 49] * 6),
        "a" * 65 + "@example.com",
        "用" * 22 + "@example.com",
        "ada\u200b@example.com",
        "ada\u202egro@example.com",
        "ada\ud800@example.com",
        "ada@exam\ud800ple.com",
        "ada@exam\u0660ple.com",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(AddressError):
        Address.parse(text)


@pytest.mark.parametrize("text", ["x\r\nRCPT TO:<y>", "x" * 100_000, "\x1b[2J@example.com", "a@\ud800"])
def test_a_refusal_can_be_shown_and_logged(text):
    with pytest.raises(AddressError) as refused:
        Address.parse(text)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000
    assert str(refused.value).encode()


@pytest.mark.rule(1)
@pytest.mark.parametrize(
    ("text", "untagged"),
    [
        ("ada+news@example.com", "ada@example.com"),
        ("ada+@example.com", "ada@example.com"),
        ("ada+a+b@example.com", "ada@example.com"),
        ("ada@example.com", "ada@example.com"),
        ("+ada@example.com", "+ada@example.com"),
        ("用户+标签@example.com", "用户@example.com"),
    ],
)
def test_r1_a_tag_does_not_belong_to_the_name(text, untagged):
    assert str(Address.parse(text).without_tag) == untagged


ATOM = st.text(string.ascii_letters + string.digits + "!#$%&'*/=?^_`{|}~-éßжΣ用", min_size=1, max_size=12)
LOCAL = st.lists(ATOM, min_size=1, max_size=3).map(".".join)
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
DOMAIN = st.lists(LABEL | st.sampled_from(["bücher", "例子", "straße"]), min_size=1, max_size=4).map(".".join)


@given(LOCAL, DOMAIN)
def test_the_canonical_spelling_reads_as_itself(local, domain):
    address = Address.parse(f"{local}@{domain}")
    assert Address.parse(str(address)) == address
    assert Address.parse(f"{local.upper()}@{domain.upper()}".replace("STRASSE", "STRAẞE")) == address
    assert address.domain.isascii()
    assert canonical_domain(address.domain) == address.domain


@pytest.mark.rule(1)
@given(LOCAL, DOMAIN, st.text(string.ascii_letters + "+", max_size=8))
def test_r1_every_tag_leads_to_the_same_address(local, domain, tag):
    address = Address.parse(f"{local}@{domain}")
    tagged = Address.parse(f"{local}+{tag}@{domain}")
    assert tagged.without_tag == address == address.without_tag


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text):
    try:
        address = Address.parse(text)
    except AddressError:
        return
    assert Address.parse(str(address)) == address
    assert not set(str(address)) & set(' \r\n\t\0<>()[],;:"\\')
