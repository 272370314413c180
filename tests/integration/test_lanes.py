"""Small recalls and small mails have queues of their own, and every queue has somebody who looks after it."""

from pathlib import Path

import pytest

from mailrecall.broker import queues
from mailrecall.embedded.folder import DataFolder
from mailrecall.embedded.ports import Ports
from mailrecall.embedded.processes import Plan
from mailrecall.outbox import work
from mailrecall.outbox.work import Queue, Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings, databases)


def waiting(databases: Databases, task: Task) -> set[str]:
    with databases.control() as connection:
        return {queue for (queue,) in connection.execute("SELECT queue FROM outbox WHERE task = %s", (task,))}


@pytest.mark.parametrize(("most", "small"), [(2, False), (500, True)], ids=["large", "small"])
def test_size_chooses_the_lane(process, databases, monkeypatch, most: int, small: bool):
    monkeypatch.setattr(work, "SMALL", most)
    monkeypatch.setattr("mailrecall.recalls.lanes.SMALL", most)
    firm = company.found(databases, people=5)
    message_id = correspondence.send(databases, firm.people[0], *firm.people)

    dispatch.run(process, Task.EXPAND)
    deposits = waiting(databases, Task.DEPOSIT)
    dispatch.run(process)
    correspondence.ask(databases, firm.people[0], message_id)
    dispatch.run(process, Task.PLAN)
    withdrawals = waiting(databases, Task.WITHDRAW)
    dispatch.run(process)

    if small:
        assert (deposits, withdrawals) == ({Queue.SMALL_DEPOSITS}, {Queue.SMALL_WITHDRAWALS})
    else:
        assert deposits <= {*map(Queue.deposit, databases.shards)}
        assert withdrawals <= {*map(Queue.withdraw, databases.shards)}


def test_an_authors_copy_waits_for_nothing_large(process, databases):
    firm = company.found(databases, people=2)
    correspondence.send(databases, firm.people[0], firm.people[1])
    assert waiting(databases, Task.FILE_AUTHOR_COPY) == {Queue.SMALL_DEPOSITS}
    dispatch.run(process)


def test_every_queue_has_one_kind_of_worker(settings: Settings):
    plan = Plan(folder=DataFolder(Path("/nowhere")), ports=Ports(), shards=len(settings.shard_urls))
    served = [
        queue
        for command in plan.services()
        for argument in command.arguments
        if argument.startswith("--queues=")
        for queue in argument.removeprefix("--queues=").split(",")
    ]
    assert sorted(served) == sorted(queues(settings))
