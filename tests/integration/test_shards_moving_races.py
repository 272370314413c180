"""Mailboxes that move at the very moment in which somebody writes down what was done with them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mailrecall import clock, faultpoints
from mailrecall.faultpoints import Commit
from mailrecall.messages import delivery
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch
from tests.locks import until_somebody_waits_for_a_lock
from tests.moving import move, run_all


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 9}), databases)


class DiedError(Exception):
    """A worker is dead."""


def test_a_deposit_that_is_recorded_while_its_batch_is_divided_is_counted_once(process, databases, monkeypatch):
    firm = company.found(databases, people=5)
    sender, *others = firm.people
    stays, moves = [person for person in others if person.shard == 0]
    message_id = correspondence.send(databases, sender, stays, moves)
    dispatch.run(process, Task.EXPAND)

    def die(commit: Commit) -> None:
        if commit is Commit.DEPOSIT:
            raise DiedError

    with monkeypatch.context() as patched:
        patched.setattr(faultpoints, "after", die)
        with pytest.raises(DiedError):
            dispatch.run(process, Task.DEPOSIT)

    with ThreadPoolExecutor(1) as threads:
        with databases.control() as recording:
            delivery.record_deposit(recording, message_id, 1, forwards=[], now=clock.now())
            moving = threads.submit(move, process.settings, databases, [moves], 1)
            until_somebody_waits_for_a_lock(process.settings)
        moving.result()
    run_all(process)

    with databases.control() as connection:
        row = connection.execute(
            "SELECT deliveries_left, delivered_at IS NOT NULL FROM message WHERE id = %s", (message_id,)
        ).fetchone()
    assert row == (0, True)
