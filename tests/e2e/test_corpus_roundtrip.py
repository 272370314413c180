"""Mail in over LMTP, through expansion and deposit, out over HTTP and POP3: octet for octet what was handed over."""

import poplib
import re
import smtplib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from mailrecall.demo.client import Person, wait_for
from tests import company
from tests.e2e.people import Webmail
from tests.stack import Stack

ROOT = Path(__file__).parents[2]
OWN = sorted((ROOT / "tests" / "messages").glob("*.eml"))
CORPUS = sorted((ROOT.parent / "shared" / "corpus").glob("*.eml"))

needs_corpus = pytest.mark.skipif(
    not CORPUS, reason="the corpus of real mail is not beside this repository (shared/corpus)"
)


class Roundtrip:
    """Someone who is sent everything there is, and takes it out again."""

    def __init__(self, stack: Stack, reader: Person) -> None:
        self._reader = reader
        self._accepted: dict[Path, int] = {}
        with smtplib.LMTP(*stack.lmtp) as client:
            client.ehlo()
            for file in [*OWN, *CORPUS]:
                client.mail("someone@elsewhere.example", ["BODY=8BITMIME"])
                client.rcpt(reader.address)
                code, said = client.data(on_the_wire(file))
                assert code == 250, said
                self._accepted[file] = int(said.rsplit(b" ", 1)[1])

    def source(self, file: Path) -> bytes:
        """Wait until a message lies in the mailbox, and return it as it lies there."""
        path = f"/messages/{self._accepted[file]}/source"
        return wait_for(f"{file.name} in the inbox", lambda: _content(self._reader, path))

    def over_pop3(self, address: tuple[str, int]) -> Mapping[Path, bytes]:
        """Wait until all messages lie in the mailbox, and fetch them in one session."""
        for file in self._accepted:
            self.source(file)
        mailbox = poplib.POP3(*address)
        mailbox.user(self._reader.address)
        mailbox.pass_(company.PASSWORD)
        numbers = {int(copy_id): int(number) for number, copy_id in map(bytes.split, mailbox.uidl()[1])}
        sizes = {int(number): int(size) for number, size in map(bytes.split, mailbox.list()[1])}
        fetched = {}
        for file, copy_id in self._accepted.items():
            lines = b"\r\n".join(mailbox.retr(numbers[copy_id])[1]) + b"\r\n"
            assert sizes[numbers[copy_id]] == len(lines), file.name
            fetched[file] = lines
        mailbox.quit()
        return fetched

    def opened(self, file: Path) -> Mapping[str, object]:
        """Open the message, once it is there."""
        return self._reader.read(self._accepted[file])

    def attachments(self, file: Path) -> Sequence[bytes]:
        """Download every attachment."""
        found = self.opened(file)["attachments"]
        assert isinstance(found, list)
        path = f"/messages/{self._accepted[file]}/attachments"
        return [self._reader.ask("GET", f"{path}/{index}").content for index in range(len(found))]


def on_the_wire(file: Path) -> bytes:
    """Return a file as a mail program sends it. Our own are so already, bare CR and all."""
    octets = file.read_bytes()
    if file in CORPUS:
        octets = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def _content(reader: Person, path: str) -> bytes | None:
    response = reader.try_to("GET", path)
    return response.content if response.status_code == httpx.codes.OK else None


@pytest.fixture(scope="module")
def roundtrip(stack: Stack) -> Iterator[Roundtrip]:
    firm = company.found(stack.databases, people=1)
    with ExitStack() as until:
        yield Roundtrip(stack, Webmail(stack, until)(firm.people[0]))


@pytest.mark.parametrize("file", OWN, ids=lambda file: file.stem)
def test_every_kind_of_message_comes_out_as_it_went_in(file: Path, roundtrip: Roundtrip):
    came_out(roundtrip, file)


@needs_corpus
@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_every_real_message_comes_out_as_it_went_in(file: Path, roundtrip: Roundtrip):
    came_out(roundtrip, file)


def test_every_message_comes_out_over_pop3_as_it_went_in(stack: Stack, roundtrip: Roundtrip):
    fetched = roundtrip.over_pop3(stack.pop3)
    assert {file for file, octets in fetched.items() if not octets.endswith(on_the_wire(file))} == set()
    assert {file for file, octets in fetched.items() if octets != roundtrip.source(file)} == set()


def came_out(roundtrip: Roundtrip, file: Path) -> None:
    sent = on_the_wire(file)
    source = roundtrip.source(file)
    assert source.endswith(sent)
    added = source.removesuffix(sent).decode("ascii").splitlines()
    assert [line.partition(":")[0] for line in added if not line.startswith("\t")] == ["Return-Path", "Received"]
    assert added[0] == "Return-Path: <someone@elsewhere.example>"
    # and whatever it looks like inside, it can be opened and taken apart
    assert isinstance(roundtrip.opened(file)["subject"], str)
    assert all(isinstance(content, bytes) for content in roundtrip.attachments(file))
