"""Servers that go away in the middle of a recall and come back: exact totals after each, and one report."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import redis

from mailrecall.domain.recalls import State
from mailrecall.embedded.deadlines import poll
from tests.fault.scene import Scene, away

PEOPLE, READ = 1200, 120
"""Of recalls that need not last long."""


def withdrawn(scene: Scene, recall_id: int) -> int:
    """Count the batches that shards have withdrawn, whatever the control database knows."""
    found = 0
    for shard in scene.databases.shards:
        with scene.databases.shard(shard) as connection:
            row = connection.execute("SELECT count(*) FROM withdrawal WHERE recall_id = %s", (recall_id,)).fetchone()
        found += row[0] if row else 0
    return found


def test_a_control_database_that_restarts_in_the_middle_changes_no_total(scene):
    mail = scene.deliver()
    recall_id = scene.recall(mail)
    assert poll(lambda: withdrawn(scene, recall_id) > 5, timeout=60, pause=0.005), "the recall did not begin"

    settings = scene.session.settings
    with away(settings.control_url, settings.shard_urls[0]):
        # whoever is at a shard finishes there, and finds nobody to tell
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(settings.control_url)
        seen = withdrawn(scene, recall_id)
        assert 0 < seen < mail.people // 20, "the recall was over before the blow fell"

    scene.await_settlement(recall_id)
    scene.check_books(mail, recall_id)
    assert scene.reports(recall_id) == 1


@contextmanager
def broker_full(broker: redis.Redis) -> Iterator[None]:
    """Let the broker have no memory left, until the block ends."""
    broker.config_set("maxmemory", "1")
    try:
        yield
    finally:
        broker.config_set("maxmemory", "0")


def refused(broker: redis.Redis) -> int:
    """Count what the broker refused because it had no memory."""
    errors = broker.info("errorstats").get("errorstat_OOM", {})
    return int(errors.get("count", 0))


def test_a_broker_without_memory_holds_a_recall_up_and_loses_nothing(scene):
    mail = scene.deliver(PEOPLE, read=READ)
    with redis.Redis.from_url(scene.session.settings.broker_url) as broker:
        before = refused(broker)
        with broker_full(broker):
            # R11: whoever asks is answered at once all the same
            recall_id = scene.recall(mail)
            assert poll(lambda: refused(broker) > before, timeout=60), "nobody came to the broker"
            assert scene.view(recall_id).state is State.ACCEPTED

    scene.await_settlement(recall_id)
    scene.check_books(mail, recall_id, read=READ)
    assert scene.reports(recall_id) == 1


def test_a_broker_that_runs_out_of_memory_in_the_middle_changes_no_total(scene):
    mail = scene.deliver(PEOPLE, read=READ)
    recall_id = scene.recall(mail)
    with redis.Redis.from_url(scene.session.settings.broker_url) as broker:
        before = refused(broker)
        assert poll(lambda: scene.view(recall_id).tally.total > 0, timeout=60, pause=0.005), "the recall did not begin"
        with broker_full(broker):
            # the reconciler's tick, the report: somebody always wants to publish something
            assert poll(lambda: refused(broker) > before, timeout=60), "nobody came to the broker"

    scene.await_settlement(recall_id)
    scene.check_books(mail, recall_id, read=READ)
    assert scene.reports(recall_id) == 1


def test_a_broker_that_restarts_empty_while_nothing_can_be_published_gets_everything_again(scene):
    mail = scene.deliver(PEOPLE, read=READ)
    scene.kill("relay")
    recall_id = scene.recall(mail)
    scene.kill("valkey")

    scene.await_settlement(recall_id)
    scene.check_books(mail, recall_id, read=READ)
    assert scene.reports(recall_id) == 1
