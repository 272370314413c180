"""Relaying to the smarthost, a real SMTP server, and the bounces that come of it."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.recalls import Channel
from mailrecall.embedded.ports import HOST, free_ports
from mailrecall.messages.acceptance import EnvelopeRecipient, Incoming, accept
from mailrecall.mime.summary import summarise
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.delivery.relaying import RelayDeferredError, relay
from tests import company as companies
from tests import dispatch
from tests.company import Company
from tests.correspondence import author

CONTENT = b"Return-Path: <x@example.org>\r\nFrom: me@example.org\r\nSubject: Out\r\n\r\n.dots\r\n..more\r\nlast\r\n"


@dataclass
class Outside:
    """A mail server that refuses whom it is told to, and remembers what it took."""

    address: tuple[str, int]
    answers: Mapping[str, str] = field(default_factory=dict)
    """By address, or by command."""
    envelopes: list[Envelope] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)

    async def handle_MAIL(self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]) -> str:  # noqa: N802
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, _: Session, envelope: Envelope) -> str:  # noqa: N802
        self.entered.set()
        if "WAIT" in self.answers:
            await server.loop.run_in_executor(None, self.may_answer.wait, 10)
        answer = self.answers.get("DATA", "250 OK")
        if answer == "HANG UP":
            if server.transport is not None:
                server.transport.close()
            return "421 gone"
        if answer.startswith("250"):
            self.envelopes.append(envelope)
        return answer

    @property
    def recipients(self) -> list[str]:
        """Everyone it took a message for."""
        return [address for envelope in self.envelopes for address in envelope.rcpt_tos]


@contextmanager
def outside(
    answers: Mapping[str, str] | None = None, *, of: type[Controller] = Controller, **options: Any
) -> Iterator[Outside]:
    (port,) = free_ports(1)
    server = Outside((HOST, port), answers or {})
    controller = of(server, hostname=HOST, port=port, **options)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def company(databases: Databases) -> Company:
    return companies.found(databases, people=2)


def towards(settings: Settings, server: Outside) -> Settings:
    return settings.model_copy(update={"smarthost": "{}:{}".format(*server.address), "hostname": "mx.example.org"})


def accepted(
    databases: Databases,
    settings: Settings,
    sender: Account,
    addresses: Sequence[str],
    *,
    content: bytes = CONTENT,
    envelope_sender: str | None = None,
) -> int:
    """Accept a message to the world outside, and expand it."""
    incoming = Incoming(
        author=author(sender),
        envelope_sender=sender.address if envelope_sender is None else envelope_sender,
        channel=Channel.SUBMISSION,
        content=content,
        summary=summarise(content),
        recipients=[EnvelopeRecipient(address, "external") for address in addresses],
    )
    with databases.control() as connection:
        message_id = accept(connection, incoming, now=clock.now())
    dispatch.run(Process(settings, databases), Task.EXPAND)
    return message_id


def results(databases: Databases, message_id: int) -> dict[str, tuple[bool, str | None]]:
    """For each external recipient: relayed, and refused how."""
    with databases.control() as connection:
        rows = connection.execute(
            "SELECT address, relayed_at IS NOT NULL, failure FROM external_recipient WHERE message_id = %s",
            (message_id,),
        ).fetchall()
    return {address: (relayed, failure) for address, relayed, failure in rows}


def bounces(databases: Databases, to: str, after: int) -> list[bytes]:
    """The bounces to an address since a message."""
    with databases.control() as connection:
        rows = connection.execute(
            "SELECT c.content FROM message m JOIN envelope_recipient e ON e.message_id = m.id"
            "  JOIN message_content c ON c.message_id = m.id"
            " WHERE m.channel = 'system' AND m.envelope_sender = '' AND e.address = %s AND m.id > %s",
            (to, after),
        ).fetchall()
    return [bytes(content) for (content,) in rows]


def failed_addresses(bounce: bytes) -> dict[str, str]:
    """What a bounce reports: for each address its status."""
    message: Any = message_from_bytes(bounce)
    assert message.get_content_type() == "multipart/report"
    _, status, _ = message.get_payload()
    _, *blocks = status.get_payload()
    return {block["Final-Recipient"].partition("; ")[2]: block["Status"] for block in blocks}


def test_a_message_goes_out_once(databases: Databases, settings: Settings, company: Company):
    sender = company.people[0]
    message_id = accepted(databases, settings, sender, ["a@out.example", "B@out.example"])
    with outside() as server:
        for _ in range(2):
            relay(databases, towards(settings, server), message_id, now=clock.now())
    (envelope,) = server.envelopes
    assert envelope.mail_from == sender.address
    assert sorted(envelope.rcpt_tos) == ["B@out.example", "a@out.example"]
    assert envelope.original_content == CONTENT.partition(b"\r\n")[2], "Return-Path is for final delivery only"
    assert results(databases, message_id) == {"a@out.example": (True, None), "B@out.example": (True, None)}
    assert bounces(databases, sender.address, message_id) == []


def test_who_is_refused_for_good_bounces_once(databases: Databases, settings: Settings, company: Company):
    sender = company.people[0]
    answers = {"no@out.example": "550 5.1.1 No such user", "full@out.example": "552 5.2.2 Mailbox full"}
    message_id = accepted(databases, settings, sender, ["yes@out.example", *answers])
    with outside(answers) as server:
        for _ in range(2):
            relay(databases, towards(settings, server), message_id, now=clock.now())
    assert server.recipients == ["yes@out.example"]
    assert results(databases, message_id) == {
        "yes@out.example": (True, None),
        "no@out.example": (False, "550 5.1.1 No such user"),
        "full@out.example": (False, "552 5.2.2 Mailbox full"),
    }
    (bounce,) = bounces(databases, sender.address, message_id)
    assert failed_addresses(bounce) == {"no@out.example": "5.1.1", "full@out.example": "5.2.2"}


def test_who_is_put_off_is_tried_again_and_nobody_else(databases: Databases, settings: Settings, company: Company):
    sender = company.people[0]
    message_id = accepted(databases, settings, sender, ["now@out.example", "later@out.example"])
    with outside({"later@out.example": "450 4.2.1 Greylisted"}) as server:
        with pytest.raises(RelayDeferredError):
            relay(databases, towards(settings, server), message_id, now=clock.now())
        assert results(databases, message_id)["later@out.example"] == (False, None)
        server.answers = {}
        relay(databases, towards(settings, server), message_id, now=clock.now())
    assert server.recipients == ["now@out.example", "later@out.example"]
    assert bounces(databases, sender.address, message_id) == []


@pytest.mark.parametrize(
    "answers",
    [{"DATA": "451 4.3.0 Later"}, {"DATA": "HANG UP"}, {"MAIL": "421 4.3.2 Closing"}, {"MAIL": "450 4.7.1 Wait"}],
    ids=str,
)
def test_a_temporary_failure_of_the_whole_leaves_everybody(
    answers: Mapping[str, str], databases: Databases, settings: Settings, company: Company
):
    message_id = accepted(databases, settings, company.people[0], ["a@out.example"])
    with outside(answers) as server, pytest.raises(RelayDeferredError):
        relay(databases, towards(settings, server), message_id, now=clock.now())
    assert results(databases, message_id) == {"a@out.example": (False, None)}


def test_no_smarthost_there_leaves_everybody(databases: Databases, settings: Settings, company: Company):
    message_id = accepted(databases, settings, company.people[0], ["a@out.example"])
    (port,) = free_ports(1)
    with pytest.raises(RelayDeferredError):
        relay(databases, towards(settings, Outside((HOST, port))), message_id, now=clock.now())
    assert results(databases, message_id) == {"a@out.example": (False, None)}


@pytest.mark.parametrize("answers", [{"DATA": "554 5.7.1 Spam"}, {"MAIL": "550 5.7.1 Not from you"}], ids=str)
def test_a_message_refused_as_a_whole_bounces(
    answers: Mapping[str, str], databases: Databases, settings: Settings, company: Company
):
    sender = company.people[0]
    message_id = accepted(databases, settings, sender, ["a@out.example", "b@out.example"])
    with outside(answers) as server:
        relay(databases, towards(settings, server), message_id, now=clock.now())
    (bounce,) = bounces(databases, sender.address, message_id)
    assert failed_addresses(bounce) == {"a@out.example": "5.7.1", "b@out.example": "5.7.1"}


def test_without_a_smarthost_external_mail_bounces(databases: Databases, settings: Settings, company: Company):
    sender = company.people[0]
    message_id = accepted(databases, settings, sender, ["a@out.example"])
    relay(databases, settings, message_id, now=clock.now())
    (bounce,) = bounces(databases, sender.address, message_id)
    assert failed_addresses(bounce) == {"a@out.example": "5.7.1"}


def test_a_bounce_never_bounces(databases: Databases, settings: Settings, company: Company):
    message_id = accepted(databases, settings, company.people[0], ["a@out.example"], envelope_sender="")
    with outside({"a@out.example": "550 5.1.1 No"}) as server:
        relay(databases, towards(settings, server), message_id, now=clock.now())
    assert results(databases, message_id) == {"a@out.example": (False, "550 5.1.1 No")}
    with databases.control() as connection:
        later = connection.execute("SELECT count(*) FROM message WHERE id > %s", (message_id,)).fetchone()
    assert later == (0,)


def test_what_was_taken_stays_taken_when_the_rest_fails(databases: Databases, settings: Settings, company: Company):
    """A hundred at a time; the connection breaks during the second hundred."""
    addresses = [f"r{number:03}@out.example" for number in range(150)]
    message_id = accepted(databases, settings, company.people[0], addresses)
    with outside({"r120@out.example": "421 4.3.2 Closing"}) as server:
        with pytest.raises(RelayDeferredError):
            relay(databases, towards(settings, server), message_id, now=clock.now())
        assert server.recipients == addresses[:100]
        server.answers = {}
        relay(databases, towards(settings, server), message_id, now=clock.now())
    assert server.recipients == addresses
    assert all(relayed for relayed, _ in results(databases, message_id).values())


def test_two_relays_of_one_message_do_not_send_it_twice(databases: Databases, settings: Settings, company: Company):
    message_id = accepted(databases, settings, company.people[0], ["a@out.example"])
    failures: list[Exception] = []

    def first() -> None:
        try:
            relay(databases, towards(settings, server), message_id, now=clock.now())
        except RelayDeferredError as error:
            failures.append(error)

    with outside({"WAIT": "yes"}) as server:
        thread = threading.Thread(target=first)
        thread.start()
        assert server.entered.wait(10)
        with pytest.raises(RelayDeferredError):
            relay(databases, towards(settings, server), message_id, now=clock.now())
        server.may_answer.set()
        thread.join(10)
        relay(databases, towards(settings, server), message_id, now=clock.now())
    assert server.recipients == ["a@out.example"]
    assert failures == []


def test_no_bare_line_end_leaves_this_host(databases: Databases, settings: Settings, company: Company):
    """What one host takes for the end of a message, another must not (SMTP smuggling)."""
    content = b"Subject: x\r\n\r\none\n.\ntwo\r.\r\nthree\n.\r\nfour\r\n"
    message_id = accepted(databases, settings, company.people[0], ["a@out.example"], content=content)
    with outside() as server:
        relay(databases, towards(settings, server), message_id, now=clock.now())
    (envelope,) = server.envelopes
    assert envelope.original_content == b"Subject: x\r\n\r\none\r\n.\r\ntwo\r\n.\r\nthree\r\n.\r\nfour\r\n"


def test_an_international_address_does_not_spoil_it_for_the_others(
    databases: Databases, settings: Settings, company: Company
):
    sender = company.people[0]
    message_id = accepted(databases, settings, sender, ["李雷@out.example", "a@out.example"])
    with outside() as server:  # aiosmtpd's controller serves SMTPUTF8 unless told otherwise
        relay(databases, towards(settings, server), message_id, now=clock.now())
    assert sorted(server.recipients) == ["a@out.example", "李雷@out.example"]
    assert ["SMTPUTF8" in envelope.mail_options for envelope in server.envelopes] == [False, True]

    message_id = accepted(databases, settings, sender, ["李雷@out.example", "a@out.example"])
    with outside(enable_SMTPUTF8=False) as server:
        relay(databases, towards(settings, server), message_id, now=clock.now())
    assert server.recipients == ["a@out.example"]
    (bounce,) = bounces(databases, sender.address, message_id)
    assert list(failed_addresses(bounce).values()) == ["5.6.7"]


def test_octets_above_ascii_go_out_as_they_are(databases: Databases, settings: Settings, company: Company):
    content = "Subject: x\r\n\r\nGrüße\r\n".encode()
    message_id = accepted(databases, settings, company.people[0], ["a@out.example"], content=content)
    with outside() as server:
        relay(databases, towards(settings, server), message_id, now=clock.now())
    (envelope,) = server.envelopes
    assert envelope.original_content == content
    assert "BODY=8BITMIME" in envelope.mail_options
