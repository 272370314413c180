"""R8 and R14: a copy goes or stays as a whole, whatever it is made of."""

import pytest

from mailrecall import clock
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Channel
from mailrecall.mailstore import reading
from mailrecall.messages.acceptance import Incoming, accept
from mailrecall.mime.compose import Composition, Mailbox, NewAttachment, compose
from mailrecall.mime.summary import summarise
from mailrecall.postgres.databases import Databases
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch

FILES = {
    "plain": {},
    "rich": {"html": "<p>For the <b>board</b> only: <i>工资表</i></p>"},
    "with an attachment": {"attachments": [NewAttachment("pay.csv", "text/csv", b"a,b\r\n1,2\r\n")]},
    "with forty attachments": {
        "html": "<p>See the files.</p>",
        "attachments": [NewAttachment(f"{n}.bin", "application/octet-stream", bytes([n]) * 2000) for n in range(40)],
    },
    "large": {"attachments": [NewAttachment("film.bin", "application/octet-stream", bytes(range(256)) * 40_000)]},
}


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings, databases)


@pytest.mark.rule(8, 14)
@pytest.mark.parametrize("made_of", FILES.values(), ids=FILES)
def test_r8_r14_a_copy_goes_or_stays_with_all_it_has(process: Process[Settings], made_of: dict[str, object]):
    databases, now = process.databases, clock.now()
    firm = company.found(databases, people=4)
    sender, untouched, fetched, opened = firm.people
    content = compose(
        Composition(
            from_address=sender.address,
            to=[Mailbox(firm.people[1].address)],
            subject="Salaries",
            text="For the board only.",
            **made_of,  # type: ignore[arg-type]
        ),
        now=now,
        hostname="mail.example.org",
    )
    with databases.control() as connection:
        incoming = Incoming(
            author=correspondence.author(sender),
            envelope_sender=sender.address,
            channel=Channel.WEBMAIL,
            content=content,
            summary=summarise(content),
            recipients=[correspondence.addressee(person) for person in (untouched, fetched, opened)],
        )
        message_id = accept(connection, incoming, now=now)
    dispatch.run(process)
    with databases.shard(fetched.shard) as connection:
        assert reading.record_download(connection, fetched.id, message_id, now=now)
    with databases.shard(opened.shard) as connection:
        assert reading.open_copy(connection, opened.id, message_id, now=now)

    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process)

    ledger = correspondence.ledger(databases, asked.recall.id)
    assert {person: ledger.of(person) for person in (untouched, fetched, opened)} == {
        untouched: Outcome.RECALLED,
        fetched: Outcome.ATTACHMENT_DOWNLOADED,
        opened: Outcome.ALREADY_READ,
    }
    with databases.shard(untouched.shard) as connection:
        assert reading.find(connection, untouched.id, message_id) is None
        assert reading.content_of(connection, untouched.id, message_id) is None
        assert reading.record_download(connection, untouched.id, message_id, now=now) is False
    for person in (fetched, opened):
        with databases.shard(person.shard) as connection:
            assert reading.content_of(connection, person.id, message_id) == content
