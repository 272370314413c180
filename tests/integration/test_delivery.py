"""From an accepted message to copies in the shards, by the use cases on real databases."""

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Folder, author_copy_id
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 3}), databases)


def copies(databases: Databases, message_id: int) -> dict[int, tuple[int, int]]:
    found = {}
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            rows = connection.execute("SELECT mailbox_id, folder, via FROM copy WHERE message_id = %s", (message_id,))
            found.update({mailbox: (folder, via) for mailbox, folder, via in rows})
    return found


@pytest.mark.rule(13)
def test_r13_nested_and_overlapping_groups_give_each_member_one_copy(process, databases):
    firm = company.found(databases, people=9)
    people = firm.people
    inner = company.group(databases, f"inner@{firm.domain}", people[:4])
    outer = company.group(databases, f"outer@{firm.domain}", [inner, *people[3:8]])
    message_id = correspondence.send(databases, people[8], people[0], outer, inner)

    dispatch.run(process)

    assert copies(databases, message_id) == {
        people[0].id: (Folder.INBOX, 0),
        **{person.id: (Folder.INBOX, 2) for person in people[1:8]},
    }


@pytest.mark.rule(13)
def test_r13_members_are_those_at_delivery(process, databases):
    firm = company.found(databases, people=3)
    team = company.group(databases, f"team@{firm.domain}", firm.people[:1])
    message_id = correspondence.send(databases, firm.people[2], team)
    with databases.control() as connection:
        connection.execute(
            "INSERT INTO group_member (group_id, account_id) VALUES (%s, %s)", (team.id, firm.people[1].id)
        )

    dispatch.run(process)

    assert copies(databases, message_id).keys() == {firm.people[0].id, firm.people[1].id}


def test_the_content_lies_once_on_each_shard_and_leaves_the_control_database(process, databases):
    firm = company.found(databases, people=9)
    message_id = correspondence.send(databases, firm.people[0], *firm.people)
    with databases.control() as connection:
        (content,) = connection.execute(
            "SELECT content FROM message_content WHERE message_id = %s", (message_id,)
        ).fetchone()

    dispatch.run(process)

    for shard in databases.shards:
        with databases.shard(shard) as connection:
            assert connection.execute("SELECT content FROM body WHERE id = %s", (message_id,)).fetchall() == [
                (content,)
            ]
    with databases.control() as connection:
        assert connection.execute(
            "SELECT count(*) FROM message_content WHERE message_id = %s", (message_id,)
        ).fetchone() == (0,)
        (delivered_at,) = connection.execute("SELECT delivered_at FROM message WHERE id = %s", (message_id,)).fetchone()
    assert delivered_at is not None


@pytest.mark.rule(15)
def test_r15_an_author_who_is_a_recipient_has_a_sent_copy_and_a_copy(process, databases):
    firm = company.found(databases, people=1)
    (person,) = firm.people
    message_id = correspondence.send(databases, person, person)

    dispatch.run(process)

    assert copies(databases, message_id) == {person.id: (Folder.INBOX, 0)}
    assert copies(databases, author_copy_id(message_id)) == {person.id: (Folder.SENT, 0)}


def test_every_task_may_run_twice(process, databases):
    firm = company.found(databases, people=5)
    message_id = correspondence.send(databases, firm.people[0], *firm.people)
    with databases.control() as connection:
        (expand,) = connection.execute("SELECT id FROM outbox WHERE task = 'delivery.expand'").fetchone()
    dispatch.USE_CASES[Task.EXPAND](process, message_id=message_id, work_id=expand, now=clock.now())
    dispatch.USE_CASES[Task.EXPAND](process, message_id=message_id, work_id=expand, now=clock.now())
    with databases.control() as connection:
        work = connection.execute("SELECT id, task, args FROM outbox WHERE task <> 'delivery.expand'").fetchall()
    for work_id, task, args in [*work, *work]:
        dispatch.USE_CASES[task](process, work_id=work_id, now=clock.now(), **args)

    assert copies(databases, message_id).keys() == {person.id for person in firm.people}
    with databases.control() as connection:
        assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
        assert connection.execute("SELECT deliveries_left FROM message WHERE id = %s", (message_id,)).fetchone() == (0,)
