"""The exporter reads the state of the house, and says so of a server that does not answer."""

import re
from datetime import timedelta

import httpx
import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest

from mailrecall import clock
from mailrecall.broker import celery_app
from mailrecall.embedded.ports import free_ports
from mailrecall.metrics.state import StateCollector
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.outbox.relay import publish_due
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch
from tests.listening import address_of, environment, listening


def shown(databases: Databases, settings: Settings) -> str:
    """What Prometheus would read."""
    registry = CollectorRegistry()
    registry.register(StateCollector(databases, settings))
    return generate_latest(registry).decode()


def value(text: str, series: str) -> float:
    (found,) = re.findall(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found)


@pytest.mark.rule(23)
def test_r23_a_running_recall_is_shown_by_number_and_counts_and_nobodys_address(settings, databases):
    process = Process(settings, databases)
    firm = company.found(databases, people=5)
    message_id = correspondence.send(databases, firm.people[0], *firm.people[1:])
    dispatch.run(process)
    asked = correspondence.ask(databases, firm.people[0], message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)

    text = shown(databases, settings)

    recall_id = asked.recall.id
    assert value(text, f'mailrecall_recall_recipients{{recall_id="{recall_id}"}}') == 4
    assert value(text, f'mailrecall_recall_recipients_done{{recall_id="{recall_id}"}}') == 0
    assert value(text, 'mailrecall_recalls_unfinished{state="running"}') == 1
    assert value(text, "mailrecall_recalls_overdue") == 0
    assert value(text, 'mailrecall_outbox_work{state="due",task="recall.withdraw"}') == len(settings.shard_urls)
    assert value(text, 'mailrecall_shard_lag_seconds{shard="0"}') >= 0
    assert value(text, 'mailrecall_shard_up{shard="1"}') == 1
    assert value(text, 'mailrecall_database_bytes{database="control"}') > 0
    assert firm.domain not in text
    assert "@" not in text
    dispatch.run(process)


@pytest.mark.parametrize("publications", [1, 2, 5, 9])
def test_work_waits_for_its_shard_however_often_it_is_published(settings, databases, publications):
    lease = settings.outbox_lease
    leases = [lease * 2 ** min(n, 6) for n in range(publications)]
    # a second of the reconciler's and the relay's after each, and the last lease has just begun
    waited = sum(leases[:-1]) + publications
    moment = clock.now() - timedelta(seconds=waited)
    with databases.control() as control:
        control.execute("DELETE FROM outbox")
        outbox.add(control, [work.withdraw(7, 3, 1)], due_at=moment)
        for seconds in [*leases[:-1], None]:
            assert len(outbox.take_due(control, now=moment, limit=10)) == 1
            if seconds is not None:
                moment += timedelta(seconds=seconds + 1)
                assert outbox.publish_again(control, now=moment, lease=lease) == 1

    published = shown(databases, settings)
    with databases.control() as control:
        control.execute("UPDATE outbox SET published_at = published_at - interval '1 day'")
        assert outbox.publish_again(control, now=clock.now(), lease=lease) == 1
    due = shown(databases, settings)

    ages = 'mailrecall_outbox_oldest_seconds{state="%s",task="recall.withdraw"}'
    assert value(published, 'mailrecall_shard_lag_seconds{shard="1"}') >= waited - publications
    assert value(published, ages % "published") >= waited - publications
    # once more it waits for the relay, which is not late; the shard is
    assert value(due, 'mailrecall_shard_lag_seconds{shard="1"}') >= sum(leases)
    assert value(due, ages % "due") < 60
    with databases.control() as control:
        control.execute("DELETE FROM outbox")


def test_tasks_that_wait_in_the_broker_are_counted_by_queue(settings, databases):
    firm = company.found(databases, people=2)
    correspondence.send(databases, *firm.people)
    with redis.Redis.from_url(settings.broker_url) as broker, databases.control() as control:
        broker.flushdb()
        control.autocommit = True
        publish_due(control, celery_app("test", settings), now=clock.now())
        control.autocommit = False

        text = shown(databases, settings)

        assert value(text, 'mailrecall_queue_messages{queue="delivery"}') == broker.llen("delivery") > 0
        assert value(text, 'mailrecall_queue_messages{queue="withdraw.0"}') == 0
        broker.flushdb()


def test_a_server_that_is_away_is_said_to_be_and_hides_none_of_the_others(settings, databases):
    nobody = settings.model_copy(
        update={
            "broker_url": "redis://127.0.0.1:1/0",
            "shard_urls": (settings.shard_urls[0], "postgresql://nobody@127.0.0.1:1/nothing"),
            "connect_timeout": 1.0,
        }
    )
    away = Databases(nobody, "tests")
    try:
        text = shown(away, nobody)
    finally:
        away.close()
    assert value(text, "mailrecall_broker_up") == 0
    assert value(text, 'mailrecall_shard_up{shard="1"}') == 0
    assert value(text, 'mailrecall_shard_up{shard="0"}') == 1
    assert value(text, "mailrecall_control_up") == 1


def test_a_process_of_its_own_shows_them(settings, tmp_path):
    bind = f"127.0.0.1:{free_ports(1)[0]}"
    with listening("mailrecall.metrics", environment(settings, metrics_bind=bind), tmp_path / "log", address_of(bind)):
        assert httpx.get(f"http://{bind}/healthz").json()["status"] == "alive"
        assert "mailrecall_control_up 1.0" in httpx.get(f"http://{bind}/metrics").text
        assert httpx.get(f"http://{bind}/other").status_code == 404
