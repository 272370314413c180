"""The sign of life of processes without a port."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery.signals import before_task_publish, heartbeat_sent
from celery.utils.dispatch import Signal

from mailrecall import heartbeat
from mailrecall.settings import Settings

LONG_AGO = 1_000_000_000


def settings(heartbeat_file: str) -> Settings:
    return Settings.model_validate(
        {
            "control_url": "postgresql://nowhere/control",
            "shard_urls": "postgresql://nowhere/shard0",
            "broker_url": "redis://nowhere/0",
            "heartbeat_file": heartbeat_file,
        }
    )


@pytest.fixture(autouse=True)
def _own_receivers() -> Iterator[None]:
    kept = {signal: list(signal.receivers) for signal in (heartbeat_sent, before_task_publish)}
    yield
    for signal, receivers in kept.items():
        signal.receivers = receivers


@pytest.mark.parametrize("signal", [heartbeat_sent, before_task_publish], ids=lambda signal: signal.name)
def test_each_round_of_celery_touches_the_file(signal: Signal, tmp_path: Path):
    file = tmp_path / "alive"
    heartbeat.follow_celery(settings(str(file)))
    signal.send(sender="worker")
    assert file.exists()
    os.utime(file, (LONG_AGO, LONG_AGO))
    signal.send(sender="worker")
    assert file.stat().st_mtime > LONG_AGO


def test_without_a_file_nothing_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    before = list(heartbeat_sent.receivers)
    heartbeat.follow_celery(settings(""))
    heartbeat.touch(settings(""))
    assert list(heartbeat_sent.receivers) == before
    assert list(tmp_path.iterdir()) == []
