"""What came in goes out octet for octet, whatever programs wrote it; sizes are exact."""

import itertools
import poplib
import re
from pathlib import Path

import pytest

from tests import company as companies
from tests.company import PASSWORD
from tests.pop3 import Client, deliver, running

NUMBERS = itertools.count()
OURS = sorted((Path(__file__).parents[1] / "messages").glob("*.eml"))
CORPUS = sorted((Path(__file__).parents[3] / "shared" / "corpus").glob("*.eml"))
"""Mail that real programs wrote, where it lies beside this repository."""


@pytest.fixture(scope="module")
def server(settings, tmp_path_factory):
    with running(settings, tmp_path_factory.mktemp("pop3")) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def company(databases):
    return companies.found(databases, people=1)


@pytest.fixture
def owner(company, databases):
    return companies.hire(databases, f"owner{next(NUMBERS)}@{company.domain}")


@pytest.fixture
def delivered(settings, databases, company, owner):
    """Put a message into the owner's inbox."""

    def deliver_(content):
        deliver(settings, databases, company.people[0], owner, content=content)

    return deliver_


def on_the_wire(octets: bytes) -> bytes:
    """Return a file as a mail program sends it: line ends are CRLF, also that of the last line."""
    octets = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


ODD = {
    "dots": b"A: b\r\n\r\n.\r\n..\r\n...\r\n.x\r\n. \r\n",
    "a dot first": b".\r\n",
    "nothing but line ends": b"\r\n\r\n\r\n",
    "bare LF and CR": b"A: b\r\n\r\none\ntwo\rthree\r\n",
    "an end for those who read up to LF": b"A: b\r\n\r\none\n.\r\n+OK not a reply\r\n",
    "no octet left out": b"A: b\r\n\r\n" + bytes(set(range(256)) - {10, 13}) + b"\r\n",
    # longer than any buffer on the way, with dots on every boundary
    "lines that begin with dots": b"A: b\r\n\r\n" + b".\r\n" * 100_000,
    "many short lines": b"A: b\r\n\r\n" + b"".join(b".%d\r\n" % n for n in range(60_000)),
    "one long line": b"A: b\r\n\r\n" + b"." * 1_000_000 + b"\r\n",
}
MESSAGES = {
    **{file.stem: file.read_bytes() for file in OURS},
    **{file.stem: on_the_wire(file.read_bytes()) for file in CORPUS},
    **ODD,
}


def test_there_are_messages():
    assert OURS


@pytest.mark.parametrize("content", MESSAGES.values(), ids=MESSAGES.keys())
def test_octet_for_octet(content, server, delivered, owner):
    delivered(content)
    with Client(server.address) as client:
        client.sign_in(owner)
        assert client.ask("STAT") == f"+OK 1 {len(content)}"
        assert client.ask("LIST 1") == f"+OK 1 {len(content)}"
        assert client.ask("RETR 1") == f"+OK {len(content)} octets"
        # as clients do: a line ends at LF, and loses the first of two dots
        assert re.sub(rb"(?m)^\.\.", b".", client.lines()) == content
        assert client.ask("QUIT").startswith("+OK")


def test_malformed_mail_does_not_break_a_listing(server, delivered, owner):
    for content in MESSAGES.values():
        delivered(content)
    mailbox = poplib.POP3(*server.address)
    mailbox.user(owner.address)
    mailbox.pass_(PASSWORD)
    assert mailbox.stat() == (len(MESSAGES), sum(map(len, MESSAGES.values())))
    sizes = [int(line.split()[1]) for line in mailbox.list()[1]]
    assert sizes == [len(content) for content in MESSAGES.values()]
    assert len({line.split()[1] for line in mailbox.uidl()[1]}) == len(MESSAGES)
    for number in range(1, len(MESSAGES) + 1):
        mailbox.top(number, 0)
    mailbox.quit()
