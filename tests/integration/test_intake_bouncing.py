"""Bounces of mail that could not be delivered after all: who gets one, and that it arrives."""

import re
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes, policy
from typing import Any

import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.recalls import Channel
from mailrecall.messages.acceptance import EnvelopeRecipient, Incoming, accept
from mailrecall.mime.summary import summarise
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.delivery.bouncing import bounce_for
from services.delivery.expansion import bounce_undeliverable
from tests import company as companies
from tests import dispatch
from tests.company import Company
from tests.correspondence import has_copy
from tests.intake import count, stored
from tests.locks import until_somebody_waits_for_a_lock

CONTENT = b"From: me@example.org\r\nSubject: Lost\r\nX-Own: yes\r\n\r\nconfidential words\r\n"
FAILURES = {"gone@example.org": "550 5.1.1 The mailbox was closed"}


@pytest.fixture(scope="module")
def company(databases: Databases) -> Company:
    return companies.found(databases, people=2)


def message_from(databases: Databases, sender: str, to: Account) -> int:
    incoming = Incoming(
        author=None,
        envelope_sender=sender,
        channel=Channel.LMTP,
        content=CONTENT,
        summary=summarise(CONTENT),
        recipients=[EnvelopeRecipient(to.address, "account", to.id)],
    )
    with databases.control() as connection:
        return accept(connection, incoming, now=clock.now())


def bounced(databases: Databases, message_id: int) -> int | None:
    with databases.control() as connection:
        return bounce_for(connection, message_id, FAILURES, now=clock.now(), hostname="mx.example.org")


def test_the_sender_here_gets_it_in_their_inbox(databases: Databases, settings: Settings, company: Company):
    sender, reader = company.people
    message_id = message_from(databases, sender.address.replace("@", "+tag@"), reader)
    bounce_id = bounced(databases, message_id)
    assert bounce_id is not None
    bounce = stored(databases, bounce_id)
    assert bounce.channel == "system"
    assert bounce.envelope_sender == ""
    assert bounce.sender_account_id is None
    dispatch.run(Process(settings, databases))
    assert has_copy(databases, sender, bounce_id)


def test_what_a_bounce_says(databases: Databases, company: Company):
    bounce_id = bounced(databases, message_from(databases, company.people[0].address, company.people[1]))
    assert bounce_id is not None
    content = stored(databases, bounce_id).content
    assert content.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content)
    message: Any = message_from_bytes(content, policy=policy.default)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["To"] == company.people[0].address
    assert message["Auto-Submitted"] == "auto-replied"
    assert not message.defects
    notice, status, original = message.iter_parts()
    assert "gone@example.org" in notice.get_content()
    per_message, per_recipient = status.get_payload()
    assert per_message["Reporting-MTA"] == "dns; mx.example.org"
    assert per_recipient["Final-Recipient"] == "rfc822; gone@example.org"
    assert per_recipient["Action"] == "failed"
    assert per_recipient["Status"] == "5.1.1"
    assert per_recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 The mailbox was closed"
    assert original.get_content_type() == "text/rfc822-headers"
    assert b"X-Own: yes" in original.get_payload(decode=True)
    assert b"confidential" not in content


def test_it_speaks_the_senders_language(databases: Databases, company: Company):
    sender = companies.hire(databases, f"lilei@{company.domain}", language="zh")
    bounce_id = bounced(databases, message_from(databases, sender.address, company.people[0]))
    assert bounce_id is not None
    assert stored(databases, bounce_id).subject.startswith("退信")


def test_a_sender_elsewhere_is_told_too(databases: Databases, company: Company):
    bounce_id = bounced(databases, message_from(databases, "Eve@elsewhere.example", company.people[0]))
    assert bounce_id is not None
    assert stored(databases, bounce_id).recipients == [("Eve@elsewhere.example", "external", None)]


@pytest.mark.parametrize("who", ["", "nobody@{domain}", "closed@{domain}", "everyone@{domain}", "no address"])
def test_nobody_to_tell(who: str, databases: Databases, company: Company):
    if who.startswith("closed"):
        closed = companies.hire(databases, f"closed@{company.domain}")
        with databases.control() as connection:
            connection.execute("UPDATE account SET closed_at = now() WHERE id = %s", (closed.id,))
    elif who.startswith("everyone"):
        companies.group(databases, f"everyone@{company.domain}", company.people)
    message_id = message_from(databases, who.format(domain=company.domain), company.people[0])
    before = count(databases)
    assert bounced(databases, message_id) is None
    assert count(databases) == before


def test_an_addressee_closed_before_delivery_bounces(databases: Databases, settings: Settings, company: Company):
    """Accepted for an open mailbox, which is closed by the time the message is expanded."""
    sender = company.people[0]
    leaver = companies.hire(databases, f"leaver@{company.domain}")
    message_id = message_from(databases, sender.address, leaver)
    with databases.control() as connection:
        connection.execute("UPDATE account SET closed_at = now() WHERE id = %s", (leaver.id,))
    dispatch.run(Process(settings, databases))
    with databases.control() as connection:
        row = connection.execute(
            "SELECT id FROM message WHERE id > %s AND channel = 'system'", (message_id,)
        ).fetchone()
    assert row is not None
    assert has_copy(databases, sender, row[0])
    assert not has_copy(databases, leaver, message_id)


def test_a_bounce_whose_task_runs_twice_is_one(databases: Databases, settings: Settings, company: Company):
    """As when a run takes longer than the lease of its work, which is then published again."""
    sender = company.people[0]
    leaver = companies.hire(databases, f"leaver-twice@{company.domain}")
    message_id = message_from(databases, sender.address, leaver)
    with databases.control() as connection:
        connection.execute("UPDATE account SET closed_at = now() WHERE id = %s", (leaver.id,))
    process = Process(settings, databases)
    dispatch.run(process, Task.EXPAND)
    with databases.control() as connection:
        ((work_id,),) = connection.execute("SELECT id FROM outbox WHERE task = %s", (Task.BOUNCE,)).fetchall()

    def bounce() -> None:
        bounce_undeliverable(process, message_id=message_id, work_id=work_id, now=clock.now())

    with ThreadPoolExecutor(2) as threads:
        with databases.control() as connection:
            # both are past the question whether their work is open
            connection.execute("SELECT FROM outbox WHERE id = %s FOR UPDATE", (work_id,))
            runs = [threads.submit(bounce) for _ in range(2)]
            until_somebody_waits_for_a_lock(settings)
        for run in runs:
            run.result(30)
    bounce()

    with databases.control() as connection:
        rows = connection.execute(
            "SELECT id FROM message WHERE id > %s AND channel = 'system'", (message_id,)
        ).fetchall()
    assert len(rows) == 1
