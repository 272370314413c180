"""Mail that real programs wrote: what goes in is kept octet for octet."""

import base64
import re
import smtplib
from pathlib import Path

import pytest

from mailrecall.postgres.databases import Databases
from tests.company import PASSWORD, Company
from tests.intake import Intake, stored

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
FILES = sorted(CORPUS.glob("*.eml"))

pytestmark = pytest.mark.skipif(
    not FILES, reason="the corpus of real mail is not beside this repository (shared/corpus)"
)


def on_the_wire(octets: bytes) -> bytes:
    """Return a file as a mail program sends it: line ends are CRLF, also that of the last line."""
    octets = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def accepted(reply: tuple[int, bytes]) -> int:
    code, said = reply
    assert code == 250, said
    return int(said.rsplit(b" ", 1)[1])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_over_lmtp(file: Path, intake: Intake, company: Company, databases: Databases):
    sent = on_the_wire(file.read_bytes())
    with smtplib.LMTP(*intake.lmtp) as client:
        client.ehlo()
        client.mail("someone@elsewhere.example", ["BODY=8BITMIME"])
        client.rcpt(company.people[0].address)
        message_id = accepted(client.data(sent))
    content = stored(databases, message_id).content
    assert content.endswith(sent)
    added = content.removesuffix(sent).decode("ascii").splitlines()
    assert [line.partition(":")[0] for line in added if not line.startswith("\t")] == ["Return-Path", "Received"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_over_submission(file: Path, intake: Intake, company: Company, databases: Databases):
    sent = on_the_wire(file.read_bytes())
    sender = company.people[0]
    with smtplib.SMTP(*intake.smtp) as client:
        client.ehlo()
        credentials = base64.b64encode(f"\0{sender.address}\0{PASSWORD}".encode()).decode()
        assert client.docmd("AUTH", f"PLAIN {credentials}")[0] == 235
        client.mail(sender.address, ["BODY=8BITMIME"])
        client.rcpt(company.people[1].address)
        message_id = accepted(client.data(sent))
    content = stored(databases, message_id).content
    assert content.endswith(sent)
    added = content.removesuffix(sent).decode("ascii").splitlines()
    names = [line.partition(":")[0] for line in added if not line.startswith("\t")]
    assert names[0] == "Received"
    assert set(names) <= {"Received", "Date", "Message-ID"}
