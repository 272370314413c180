"""A large shard is drained while a hundred recalls run on real workers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from mailrecall.embedded.deadlines import poll
from tests.fault.scene import Delivered, Scene

MAILBOXES = int(os.environ.get("DRAINED_MAILBOXES", "50000"))
"""On the shard that is drained. Quicker: `DRAINED_MAILBOXES=1000 make test-long ARGS=tests/fault/test_draining.py`."""
RECALLS = 100


@contextmanager
def draining(scene: Scene, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Drain shard 0 by the command, until the end of the block at the latest."""
    with log.open("ab") as output:
        process = command(scene, output.fileno(), "drain", "0")
    try:
        yield process
    finally:
        process.kill()
        process.wait(120)


def command(scene: Scene, output: int, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "mailrecall.cli.main", "shards", *arguments],
        env={**os.environ, **scene.session.state.environment},
        stdout=output,
        stderr=output,
    )


def left(scene: Scene) -> int:
    with scene.databases.control() as connection:
        row = connection.execute("SELECT count(*) FROM account WHERE shard = 0").fetchone()
    assert row is not None
    return int(row[0])


def at_most(scene: Scene, mailboxes: int) -> bool:
    return left(scene) <= mailboxes


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_shard_is_drained_while_a_hundred_recalls_run(scene: Scene, tmp_path: Path):
    log = tmp_path / "drain.log"
    # half of each mail's people are on either shard
    mails = [scene.send(2 * MAILBOXES // RECALLS) for _ in range(RECALLS)]
    for mail in mails:
        scene.await_delivery(mail)
    before = left(scene)
    assert before >= MAILBOXES
    recalls: list[tuple[Delivered, int]] = []
    with draining(scene, log) as drain:
        for number, mail in enumerate(mails):
            # over the whole of the drain
            due = before * (RECALLS - number) // RECALLS
            assert poll(partial(at_most, scene, due), timeout=600, pause=0.1), log.read_text()
            recalls.append((mail, scene.recall(mail)))
        assert drain.wait(3600) == 0, log.read_text()
    assert left(scene) == 0
    for mail, recall_id in recalls:
        scene.await_settlement(recall_id)
        scene.check_books(mail, recall_id, read=0)
    with log.open("ab") as output:
        assert command(scene, output.fileno(), "remove", "0").wait(120) == 0, log.read_text()
        # others of these tests need both
        assert command(scene, output.fileno(), "add", "0").wait(120) == 0, log.read_text()
