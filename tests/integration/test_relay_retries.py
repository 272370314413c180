"""Mail that the smarthost puts off: tried again at its own pace, and bounced when nobody waits any longer."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.delivery.relay_schedule import SHORTEST_PAUSE
from tests import company as companies
from tests import dispatch
from tests.company import Company
from tests.integration.test_intake_relaying import accepted, bounces, failed_addresses, outside, results, towards

WAIT = {"later@out.example": "450 4.2.1 Greylisted"}


class _NoContentNow(SMTP):
    """Answers DATA by itself, without a word of content; the transaction stays open (RFC 5321 section 3.3)."""

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's
        answer = self.event_handler.answers.get("DATA")
        if answer is None:
            await super().smtp_DATA(arg)
        else:
            await self.push(answer)


class _KeepsTransactions(Controller):
    def factory(self) -> SMTP:
        return _NoContentNow(self.handler, **self.SMTP_kwargs)


@pytest.fixture
def company(databases: Databases) -> Company:
    return companies.found(databases, people=1)


def work(databases: Databases, message_id: int) -> tuple[Any, ...] | None:
    """When a message is relayed again, whether that is published, how often it failed, whether it was put aside."""
    with databases.control() as connection:
        return connection.execute(
            "SELECT due_at, published_at IS NOT NULL, failures, dead FROM outbox"
            " WHERE task = 'delivery.relay' AND (args ->> 'message_id')::bigint = %s",
            (message_id,),
        ).fetchone()


def expanded_at(databases: Databases, message_id: int) -> datetime:
    with databases.control() as connection:
        ((moment,),) = connection.execute("SELECT expanded_at FROM message WHERE id = %s", (message_id,)).fetchall()
    assert isinstance(moment, datetime)
    return moment


def test_what_is_put_off_waits_ever_longer_and_counts_as_no_failure(databases, settings, company):
    message_id = accepted(databases, settings, company.people[0], ["now@out.example", "later@out.example"])
    start = expanded_at(databases, message_id)
    with outside(WAIT) as server:
        process = Process(towards(settings, server), databases)
        waited = []
        now = start
        for _ in range(20):
            assert dispatch.run(process, Task.RELAY, now=now) == 1
            assert dispatch.run(process, Task.RELAY, now=now) == 0
            due_at, published, failures, dead = work(databases, message_id) or ()
            assert (published, failures, dead) == (False, 0, False)
            waited.append(due_at - now)
            now = due_at
        assert waited[:4] == [SHORTEST_PAUSE * n for n in (1, 1, 2, 4)]
        assert waited[-1] == timedelta(hours=1)
        server.answers = {}
        dispatch.run(process, Task.RELAY, now=now)
    assert server.recipients == ["now@out.example", "later@out.example"]
    assert work(databases, message_id) is None
    with databases.control() as connection:
        assert connection.execute("SELECT deliveries_left FROM message WHERE id = %s", (message_id,)).fetchone() == (0,)
    assert bounces(databases, company.people[0].address, message_id) == []


def test_what_is_put_off_too_long_bounces_once_with_what_was_said_last(databases, settings, company):
    sender = company.people[0]
    message_id = accepted(databases, settings, sender, ["now@out.example", "later@out.example"])
    last = expanded_at(databases, message_id) + timedelta(days=2)
    with outside(WAIT) as server:
        process = Process(towards(settings, server), databases)
        dispatch.run(process, Task.RELAY, now=last - timedelta(minutes=10))
        assert (work(databases, message_id) or ())[0] == last
        assert bounces(databases, sender.address, message_id) == []
        dispatch.run(process, Task.RELAY, now=last)
    assert work(databases, message_id) is None
    assert server.recipients == ["now@out.example"]
    relayed, failure = results(databases, message_id)["later@out.example"]
    assert not relayed
    assert failure is not None
    assert failure.endswith("450 4.2.1 Greylisted")
    (bounce,) = bounces(databases, sender.address, message_id)
    assert failed_addresses(bounce) == {"later@out.example": "5.4.7"}


def test_a_last_attempt_that_succeeds_bounces_nothing(databases, settings, company):
    message_id = accepted(databases, settings, company.people[0], ["later@out.example"])
    with outside() as server:
        process = Process(towards(settings, server), databases)
        dispatch.run(process, Task.RELAY, now=expanded_at(databases, message_id) + timedelta(days=3))
    assert server.recipients == ["later@out.example"]
    assert bounces(databases, company.people[0].address, message_id) == []


def test_how_long_mail_is_tried_is_a_setting_and_a_smarthost_that_is_away_counts(
    databases: Databases, settings: Settings, company: Company
):
    sender = company.people[0]
    message_id = accepted(databases, settings, sender, ["a@out.example"])
    start = expanded_at(databases, message_id)
    with outside() as server:
        away = towards(settings, server).model_copy(update={"relay_give_up": 60.0})
    process = Process(away, databases)
    dispatch.run(process, Task.RELAY, now=start + timedelta(seconds=59))
    assert results(databases, message_id) == {"a@out.example": (False, None)}
    dispatch.run(process, Task.RELAY, now=start + timedelta(seconds=60))
    (bounce,) = bounces(databases, sender.address, message_id)
    assert failed_addresses(bounce) == {"a@out.example": "5.4.7"}


@pytest.mark.parametrize(
    "addresses",
    [[f"r{number:03}@out.example" for number in range(150)], ["a@out.example", "李雷@out.example"]],
    ids=["two hundreds", "international"],
)
def test_content_that_is_put_off_in_one_portion_bounces_nobody_of_the_next(
    addresses: Sequence[str], databases: Databases, settings: Settings, company: Company
):
    sender = company.people[0]
    message_id = accepted(databases, settings, sender, addresses)
    start = expanded_at(databases, message_id)
    with outside({"DATA": "451 4.3.2 Not now"}, of=_KeepsTransactions) as server:
        process = Process(towards(settings, server), databases)
        dispatch.run(process, Task.RELAY, now=start)
        assert results(databases, message_id) == dict.fromkeys(addresses, (False, None))
        server.answers = {}
        dispatch.run(process, Task.RELAY, now=start + SHORTEST_PAUSE)
    assert sorted(server.recipients) == sorted(addresses)
    assert bounces(databases, sender.address, message_id) == []


def test_content_that_is_refused_in_one_portion_is_refused_in_the_next_in_the_same_words(databases, settings, company):
    addresses = ["a@out.example", "李雷@out.example"]
    message_id = accepted(databases, settings, company.people[0], addresses)
    with outside({"DATA": "554 5.7.1 Not that"}, of=_KeepsTransactions) as server:
        dispatch.run(Process(towards(settings, server), databases), Task.RELAY, now=expanded_at(databases, message_id))
    assert results(databases, message_id) == dict.fromkeys(addresses, (False, "554 5.7.1 Not that"))
