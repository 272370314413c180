"""The outbox and its relay, on a real database and a real broker."""

import base64
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta

import psycopg
import pytest
import redis
from kombu.exceptions import OperationalError as BrokerError

from mailrecall import clock
from mailrecall.broker import celery_app
from mailrecall.embedded.deadlines import poll
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.outbox.relay import publish_due
from mailrecall.outbox.store import Standing

QUEUE = work.Queue.DELIVERY


@pytest.fixture
def broker(settings):
    with redis.Redis.from_url(settings.broker_url) as client:
        client.flushdb()
        yield client


@pytest.fixture
def control(databases):
    with databases.control() as connection:
        connection.execute("DELETE FROM outbox")
    with databases.control() as connection:
        connection.autocommit = True
        yield connection
        connection.autocommit = False


def kwargs_in(broker) -> list[dict[str, int]]:
    """The arguments of all messages that wait in the queue, oldest first."""
    found = []
    for raw in reversed(broker.lrange(QUEUE, 0, -1)):
        _args, kwargs, _embed = json.loads(base64.b64decode(json.loads(raw)["body"]))
        found.append(kwargs)
    return found


def test_work_is_published_with_its_key_and_marked(settings, control, broker):
    outbox.add(control, [work.expand(2), work.expand(4)], due_at=clock.now())

    published = publish_due(control, celery_app("test", settings), now=clock.now())

    ids = [row[0] for row in control.execute("SELECT id FROM outbox ORDER BY id").fetchall()]
    assert published == 2
    assert kwargs_in(broker) == [
        {"message_id": 2, "work_id": ids[0]},
        {"message_id": 4, "work_id": ids[1]},
    ]
    assert publish_due(control, celery_app("test", settings), now=clock.now()) == 0


def test_nothing_is_marked_as_published_when_the_broker_does_not_answer(settings, control):
    outbox.add(control, [work.expand(2)], due_at=clock.now())
    nobody = settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})

    with pytest.raises((BrokerError, OSError, redis.ConnectionError)):
        publish_due(control, celery_app("test", nobody), now=clock.now())

    assert control.execute("SELECT published_at, attempts FROM outbox").fetchall() == [(None, 0)]


def test_overdue_work_is_published_again_after_a_lease_that_doubles(settings, control, broker):
    start = clock.now()
    lease = settings.outbox_lease
    app = celery_app("test", settings)
    outbox.add(control, [work.expand(2)], due_at=start)
    publish_due(control, app, now=start)
    broker.flushall()

    def again(seconds: float) -> int:
        moment = start + timedelta(seconds=seconds)
        overdue = outbox.publish_again(control, now=moment, lease=lease)
        publish_due(control, app, now=moment)
        return overdue

    assert again(lease) == 0
    assert again(lease + 1) == 1
    assert len(kwargs_in(broker)) == 1
    assert again(2 * lease + 1) == 0
    assert again(3 * lease + 2) == 1


def test_failed_work_waits_longer_each_time_and_is_put_aside_at_last(control):
    moment = clock.now()
    outbox.add(control, [work.expand(2)], due_at=moment)
    pauses = []
    put_aside = False
    while not put_aside:
        (publication,) = outbox.take_due(control, now=moment, limit=10)
        put_aside = outbox.fail(control, publication.work_id, "ValueError", outage=False, most=5, now=moment)
        if not put_aside:
            (due,) = control.execute("SELECT due_at FROM outbox").fetchone()
            pauses.append((due - moment).total_seconds())
            moment = due

    assert pauses == [1, 2, 4, 8]
    assert outbox.backlog(control).dead == 1
    assert not outbox.is_open(control, publication.work_id)
    assert outbox.take_due(control, now=moment + timedelta(days=1), limit=10) == []


def test_a_publication_fails_once_however_often_the_broker_held_it(control):
    moment = clock.now()
    outbox.add(control, [work.expand(2)], due_at=moment)
    (publication,) = outbox.take_due(control, now=moment, limit=10)

    for _ in range(3):
        assert not outbox.fail(control, publication.work_id, "ValueError", outage=False, most=3, now=moment)

    assert control.execute("SELECT failures, due_at FROM outbox").fetchone() == (1, moment + timedelta(seconds=1))


PATIENCE = 180.0


def begin(control, work_id: int, *, redelivered: bool = True, now: datetime | None = None) -> Standing:
    return outbox.begin(control, work_id, redelivered=redelivered, patience=PATIENCE, now=now or clock.now())


def test_a_try_that_never_ended_is_seen_by_the_second_one_after_it(control):
    moment = clock.now()
    outbox.add(control, [work.expand(2)], due_at=moment)
    (publication,) = outbox.take_due(control, now=moment, limit=10)

    tries = [begin(control, publication.work_id, redelivered=redelivered) for redelivered in (False, True, True)]
    outbox.fail(control, publication.work_id, "WorkerLostError", outage=False, most=3, now=moment)
    held_by_the_broker = begin(control, publication.work_id)
    outbox.take_due(control, now=moment + timedelta(seconds=1), limit=10)

    assert tries == [Standing.OPEN, Standing.OPEN, Standing.UNENDED]
    assert held_by_the_broker is Standing.CLOSED  # until the pause is over
    assert begin(control, publication.work_id) is Standing.OPEN


@pytest.mark.parametrize(("pause", "found"), [(PATIENCE, Standing.OPEN), (PATIENCE + 1, Standing.UNENDED)])
def test_without_the_brokers_word_a_try_is_given_the_time_that_servers_may_keep_it_waiting(control, pause, found):
    moment = clock.now()
    outbox.add(control, [work.expand(2)], due_at=moment)
    seen = []
    for _ in range(3):
        (publication,) = outbox.take_due(control, now=moment, limit=10)
        seen.append(begin(control, publication.work_id, redelivered=False, now=moment))
        moment += timedelta(seconds=pause)
        outbox.publish_again(control, now=moment, lease=1)

    assert seen == [Standing.OPEN, Standing.OPEN, found]


@pytest.mark.parametrize("end", ["put_off", "outage"])
def test_a_try_that_ended_in_any_way_does_not_look_unended(control, end):
    moment = clock.now()
    outbox.add(control, [work.expand(2)], due_at=moment)
    for _ in range(5):
        (publication,) = outbox.take_due(control, now=moment, limit=10)
        assert begin(control, publication.work_id) is Standing.OPEN
        moment += timedelta(minutes=2)
        if end == "put_off":
            outbox.put_off(control, publication.work_id, "later", due_at=moment)
        else:
            outbox.fail(control, publication.work_id, "OperationalError", outage=True, most=3, now=moment)
            moment += timedelta(minutes=2)


def test_work_that_is_done_or_put_aside_is_closed_to_every_try(control):
    moment = clock.now()
    outbox.add(control, [work.expand(2), work.expand(4)], due_at=moment)
    done, failed = outbox.take_due(control, now=moment, limit=10)
    outbox.finish(control, done.work_id)
    outbox.fail(control, failed.work_id, "ValueError", outage=False, most=1, now=moment)

    assert begin(control, done.work_id) is begin(control, failed.work_id) is Standing.CLOSED


def test_an_outage_never_puts_work_aside(control):
    moment = clock.now()
    outbox.add(control, [work.expand(2)], due_at=moment)
    for _ in range(50):
        (publication,) = outbox.take_due(control, now=moment, limit=10)
        assert not outbox.fail(control, publication.work_id, "OperationalError", outage=True, most=3, now=moment)
        moment += timedelta(minutes=2)

    assert outbox.backlog(control).dead == 0


def test_two_relays_never_take_the_same_work(databases, control):
    outbox.add(control, [work.expand(2 * n) for n in range(1, 21)], due_at=clock.now())
    with databases.control() as one, databases.control() as other:
        first = outbox.take_due(one, now=clock.now(), limit=12)
        second = outbox.take_due(other, now=clock.now(), limit=12)

    assert len(first) == 12
    assert len(second) == 8
    assert not {p.work_id for p in first} & {p.work_id for p in second}


@pytest.fixture
def relay(settings):
    environment = {
        **os.environ,
        "MAILRECALL_CONTROL_URL": settings.control_url,
        "MAILRECALL_SHARD_URLS": " ".join(settings.shard_urls),
        "MAILRECALL_BROKER_URL": settings.broker_url,
    }
    with subprocess.Popen([sys.executable, "-m", "mailrecall.outbox.relay"], env=environment) as process:
        yield process
        process.terminate()
        assert process.wait(10) == 0


def wait_for(condition) -> None:
    assert poll(condition, timeout=60, pause=0.02), "it did not happen in time"


def test_the_relay_wakes_up_and_outlives_a_lost_connection(settings, control, broker, relay):
    outbox.add(control, [work.expand(2)], due_at=clock.now())
    # committed as published, and not only sent: what is lost before the commit goes out twice
    wait_for(lambda: control.execute("SELECT count(published_at) FROM outbox").fetchone() == (1,))

    with psycopg.connect(settings.control_url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'mailrecall-relay' AND datname = current_database()"
        ).fetchone()
    assert ended == (1,)
    outbox.add(control, [work.expand(4)], due_at=clock.now())

    wait_for(lambda: len(kwargs_in(broker)) == 2)


def test_a_broker_that_forgot_everything_still_takes_work(control, broker, relay):
    outbox.add(control, [work.expand(2)], due_at=clock.now())
    wait_for(lambda: len(kwargs_in(broker)) == 1)
    broker.flushall()

    outbox.add(control, [work.expand(4)], due_at=clock.now())

    wait_for(lambda: [kwargs["message_id"] for kwargs in kwargs_in(broker)] == [4])
