"""Clocks that step back and forth by hours: windows, leases, pauses and deadlines bend, and no total changes."""

import random
import time
from datetime import datetime, timedelta

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Fact
from mailrecall.domain.recalls import Refusal, Refused, Verdict
from mailrecall.mailstore import reading
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import views
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.recall.reconciling import reconcile
from tests import company, correspondence, dispatch
from tests.undertaking import Undertaking

HOUR = timedelta(hours=1)


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 2}), databases)


@pytest.mark.parametrize("mode", ["each", "all_or_nothing"])
@pytest.mark.parametrize("seed", range(3))
def test_every_task_by_another_clock_changes_no_total(process, databases, mode, seed):
    chance = random.Random(seed)
    start = clock.now()

    def moment() -> datetime:
        return start + chance.uniform(-1, 1) * HOUR

    firm = company.found(databases, people=8, switches={"group_mode": mode})
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others, now=start)
    dispatch.run(process, now=start)
    read = mode == "each"
    if read:
        correspondence.happen(databases, others[0], message_id, Fact.READ)
    asked = correspondence.ask(databases, sender, message_id, now=moment(), deadline=timedelta(days=1))
    assert isinstance(asked, Requested)
    view = None
    while view is None or view.result is None:
        with databases.control() as connection:
            due = outbox.take_due(connection, now=start + 2 * HOUR, limit=1)
        for publication in due:
            if (run := dispatch.USE_CASES.get(publication.task)) is not None:
                run(process, work_id=publication.work_id, now=moment(), **publication.args)
                # and once more, by yet another clock
                run(process, work_id=publication.work_id, now=moment(), **publication.args)
        reconcile(process, now=moment())
        with databases.control() as connection:
            view = views.get(connection, asked.recall.id)
    expected = {"recalled": 6, "already_read": 1} if read else {"recalled": 7}
    assert view.tally.as_slugs() == expected
    assert [person for person in others if correspondence.has_copy(databases, person, message_id)] == others[:read]


@pytest.mark.rule(3)
def test_r3_a_clock_that_stepped_back_refuses_nobody_and_one_that_stepped_forward_says_when_the_window_closed(
    process, databases
):
    firm = company.found(databases, people=3)
    sender, *others = firm.people
    start = clock.now()
    before = correspondence.send(databases, sender, *others, now=start)
    after = correspondence.send(databases, sender, *others, now=start)
    dispatch.run(process, now=start)

    # the message comes from the future
    assert isinstance(correspondence.ask(databases, sender, before, now=start - HOUR), Requested)
    assert correspondence.ask(databases, sender, after, now=start + 25 * HOUR) == Refused(
        Refusal.WINDOW_EXPIRED, closed_at=start + 24 * HOUR
    )
    dispatch.run(process)


def test_a_lease_by_a_clock_that_steps_is_too_long_or_too_short_and_never_lost(databases, settings):
    start, lease = clock.now(), settings.outbox_lease
    with databases.control() as connection:
        connection.execute("DELETE FROM outbox")
        outbox.add(connection, [work.expand(2)], due_at=start)
        assert len(outbox.take_due(connection, now=start, limit=9)) == 1
        # stepped back: the lease lasts longer
        assert outbox.publish_again(connection, now=start - HOUR, lease=lease) == 0
        # stepped forward: published again too early, which is harmless
        assert outbox.publish_again(connection, now=start + HOUR, lease=lease) == 1
        # and back: it waits for its moment
        assert outbox.take_due(connection, now=start, limit=9) == []
        (again,) = outbox.take_due(connection, now=start + HOUR, limit=9)
        outbox.finish(connection, again.work_id)
        assert outbox.publish_again(connection, now=start + 9 * HOUR, lease=lease) == 0


@pytest.mark.rule(13)
@pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["back", "forward"])
def test_r13_a_reader_whose_clock_stepped_waits_no_longer(settings, step):
    wait = 0.3
    databases = Databases(settings.model_copy(update={"decision_wait": wait}), "stepped")
    undertaking = Undertaking(Process(databases.settings.model_copy(update={"batch_size": 2}), databases))
    undertaking.prepare(all_but=1)
    reader = next(person for person in undertaking.others if person.id in undertaking.marked())

    began = time.monotonic()
    with databases.shard(reader.shard) as connection:
        shown = reading.open_copy(connection, reader.id, undertaking.message_id, now=clock.now() + step)
    waited = time.monotonic() - began

    assert shown is not None
    assert undertaking.verdict() is Verdict.RELEASE
    # a clock that is behind gives no more than the whole time to the recall; nothing here waits for an hour
    assert waited < 60
    assert step > timedelta(0) or waited >= wait
    dispatch.run(undertaking.process, *[task for task in Task if task in dispatch.USE_CASES])
    databases.close()
