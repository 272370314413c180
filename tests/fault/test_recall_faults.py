"""Blows in the middle of a recall, on real processes: every one ends in the same totals, and in one report."""

import pytest
import redis


@pytest.mark.parametrize(
    "process", ["recall", "withdraw", "relay", "beat", "reports", "delivery", "gateway", "valkey", "postgres"]
)
def test_a_killed_process_changes_no_total(scene, process):
    mail = scene.deliver()
    recall_id = scene.recall(mail)

    scene.strike_midway(recall_id, lambda: scene.kill(process))

    scene.await_settlement(recall_id)
    scene.check_books(mail, recall_id)
    assert scene.reports(recall_id) == 1


def test_a_killed_child_of_a_worker_changes_no_total(scene):
    mail = scene.deliver()
    recall_id = scene.recall(mail)

    scene.strike_midway(recall_id, lambda: scene.kill_child("withdraw"))

    scene.await_settlement(recall_id)
    scene.check_books(mail, recall_id)
    assert scene.reports(recall_id) == 1


def test_an_emptied_broker_changes_no_total(scene):
    mail = scene.deliver()
    recall_id = scene.recall(mail)

    def empty() -> None:
        with redis.Redis.from_url(scene.session.settings.broker_url) as broker:
            broker.flushall()

    scene.strike_midway(recall_id, empty)

    scene.await_settlement(recall_id)
    scene.check_books(mail, recall_id)
    assert scene.reports(recall_id) == 1


@pytest.mark.rule(16)
def test_r16_a_recall_during_the_delivery_leaves_no_copy(scene):
    mail = scene.send()
    recall_id = scene.recall(mail)

    scene.await_settlement(recall_id)
    scene.await_delivery(mail)

    scene.check_books(mail, recall_id, read=0)


def test_a_delivery_worker_killed_midway_delivers_each_copy_once(scene):
    mail = scene.send()
    scene.kill("deposit")
    scene.await_delivery(mail)

    recall_id = scene.recall(mail)
    scene.await_settlement(recall_id)

    scene.check_books(mail, recall_id, read=0)
