"""R26: a purge, and what came between its plan and its deed, or never came to be written down."""

from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.directory import holds
from mailrecall.domain.trail import OPERATOR
from mailrecall.messages import delivery
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import purging as control_purging
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.recall.purging import purge
from services.recall.reconciling import reconcile
from tests import company, correspondence, dispatch
from tests.integration.test_purge import WEEK, forget_reports, recalled_mail, settled_at, stored
from tests.integration.test_undo import undone


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 4}), databases)


@pytest.mark.rule(26)
def test_r26_a_recall_that_came_after_the_plan_of_a_purge_can_be_undone(process, databases, monkeypatch):
    firm = company.found(databases, people=6)
    message_id, first = recalled_mail(process, firm)
    undone(process, firm.postmaster, first)
    plan, again = control_purging.due, []

    def due(*args, **kwargs):
        planned = plan(*args, **kwargs)
        again.append(correspondence.recalled(process, firm.people[0], message_id))
        return planned

    monkeypatch.setattr(control_purging, "due", due)
    purge(process, now=settled_at(databases, first) + WEEK + timedelta(seconds=1))

    assert undone(process, firm.postmaster, again[0]).restored == 5
    assert all(correspondence.has_copy(databases, person, message_id) for person in firm.people[1:])
    assert stored(databases, message_id) == ({message_id}, {message_id})


@pytest.mark.rule(16, 26)
@pytest.mark.parametrize("on_hold", [True, False])
def test_r16_r26_a_legal_hold_keeps_what_a_given_up_recall_kept_out(process, databases, on_hold):
    firm = company.found(databases, people=2)
    sender, recipient = firm.people
    assert sender.shard != recipient.shard
    message_id = correspondence.send(databases, sender, recipient)
    dispatch.run(process, Task.EXPAND)
    asked = correspondence.ask(databases, sender, message_id, deadline=timedelta(minutes=1))
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN, Task.DEPOSIT, Task.FILE_AUTHOR_COPY)
    late = clock.now() + timedelta(minutes=2)
    reconcile(process, now=late)
    dispatch.run(process, Task.SETTLE, now=late)
    forget_reports(databases)
    if on_hold:
        with databases.control() as connection:
            holds.place(connection, recipient, "case 9", actor=OPERATOR, now=clock.now())

    purge(process, now=settled_at(databases, asked.recall) + WEEK + timedelta(seconds=1))

    with databases.shard(recipient.shard) as connection:
        found = connection.execute("SELECT FROM body WHERE id = %s", (message_id,)).fetchall()
    assert len(found) == on_hold


@pytest.mark.rule(26)
def test_r26_content_that_a_relay_still_needed_goes_when_it_is_relayed(process, databases):
    firm = company.found(databases, people=4)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others, "customer@elsewhere.example")
    dispatch.run(process)  # all but relays
    view = correspondence.recalled(process, sender, message_id)
    forget_reports(databases)
    over = settled_at(databases, view) + WEEK + timedelta(seconds=1)
    purge(process, now=over)
    assert stored(databases, message_id) == ({message_id}, {message_id})
    with databases.control() as connection:
        delivery.record_relay(connection, message_id, now=over)

    purge(process, now=over + timedelta(days=1))

    assert stored(databases, message_id)[0] == set()
