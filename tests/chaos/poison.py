"""Poison: what no honest process puts into the queues and the outbox. It is to be put aside, and to hold nobody up."""

import secrets
from collections.abc import Callable, Mapping

import redis
from kombu import Connection

from mailrecall import broker, clock
from mailrecall.outbox import put_aside, work
from mailrecall.outbox import store as outbox
from mailrecall.outbox.work import Task
from tests.chaos.hunt import Hunt


def _garbage(hunt: Hunt) -> None:
    """Put what is no message at all into every queue."""
    with redis.Redis.from_url(hunt.session.settings.broker_url) as queues:
        for queue in broker.queues(hunt.session.settings):
            queues.lpush(queue, b"\xff{garbage")


def _task(name: str) -> Callable[[Hunt], None]:
    """Put a task that comes from no outbox, without arguments, into every queue."""

    def publish(hunt: Hunt) -> None:
        headers = {"lang": "py", "task": name, "id": secrets.token_hex(16), "root_id": None, "parent_id": None}
        with Connection(hunt.session.settings.broker_url, connect_timeout=5) as connection:
            producer = connection.Producer(serializer="json")
            for queue in broker.queues(hunt.session.settings):
                producer.publish([[], {}, {}], exchange="", routing_key=queue, headers=headers, retry=False)

    return publish


def _impossible_work(hunt: Hunt) -> None:
    """Write work for a recall that there is not into the outbox, and let it have failed nearly too often."""
    failures = hunt.session.settings.outbox_failures - 1
    with hunt.databases.control() as connection:
        work_id = outbox.add_one(connection, work.withdraw(0, 0, 0, small=True), due_at=clock.now())
        connection.execute("UPDATE outbox SET failures = %s WHERE id = %s", (failures, work_id))
    hunt.poison.add(work_id)


KINDS: Mapping[str, Callable[[Hunt], None]] = {
    "garbage in the queues": _garbage,
    "an unknown task in the queues": _task("delivery.unheard_of"),
    "a task without arguments in the queues": _task(Task.WITHDRAW.value),
    "work that nobody can do": _impossible_work,
}


def put_aside_besides(hunt: Hunt) -> set[int]:
    """Give up for good what was planted and is put aside by now; returns what is put aside besides."""
    with hunt.databases.control() as connection:
        aside = {one.work_id for one in put_aside.find(connection)}
        put_aside.drop(connection, sorted(aside & hunt.poison))
    besides = aside - hunt.poison
    hunt.poison.difference_update(aside)
    return besides
