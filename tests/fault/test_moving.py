"""Mailboxes that move while mail is delivered and recalled by real workers; the mover is killed, and begins again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mailrecall.embedded.deadlines import poll
from tests.fault.scene import Delivered, Scene

PEOPLE = 1_000
PATIENCE = 120


@contextmanager
def mover(scene: Scene, log: Path, addresses: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Move mailboxes to shard 1 by the command, until the end of the block at the latest."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mailrecall.cli.main", "shards", "move", "--to", "1", *addresses],
            env={**os.environ, **scene.session.state.environment},
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)


def addresses(scene: Scene, mail: Delivered) -> list[str]:
    """Those to whom the mail went whose mailboxes are on shard 0."""
    with scene.databases.control() as connection:
        rows = connection.execute(
            "SELECT d.address FROM account a JOIN address d ON d.account_id = a.id"
            " JOIN group_member g ON g.account_id = a.id"
            " WHERE g.group_id = %s AND a.shard = 0 ORDER BY a.id",
            (mail.team.id,),
        ).fetchall()
    return [address for (address,) in rows]


def moves(scene: Scene, *states: str) -> int:
    """How many moves stand in the journal in some state."""
    with scene.databases.control() as connection:
        row = connection.execute("SELECT count(*) FROM move WHERE state = ANY (%s)", (list(states),)).fetchone()
    assert row is not None
    return int(row[0])


def check_copies(scene: Scene, mail: Delivered) -> None:
    """Make sure that everybody has one copy, on the shard where the mailbox is."""
    found: dict[int, int] = {}
    for shard in scene.databases.shards:
        with scene.databases.shard(shard) as connection:
            rows = connection.execute("SELECT mailbox_id FROM copy WHERE message_id = %s", (mail.message_id,))
            here = {mailbox_id for (mailbox_id,) in rows}
        assert not found.keys() & here
        found |= dict.fromkeys(here, shard)
    with scene.databases.control() as connection:
        rows = connection.execute("SELECT id, shard FROM account WHERE id = ANY (%s)", (list(found),))
        assert dict(rows.fetchall()) == found
    assert len(found) == mail.people


def test_a_recall_and_a_delivery_end_exact_while_mailboxes_move_and_the_mover_is_killed(scene: Scene, tmp_path: Path):
    log = tmp_path / "mover.log"
    mail = scene.deliver(PEOPLE, read=100)
    people, done = addresses(scene, mail), moves(scene, "done")
    with mover(scene, log, people) as first:
        assert poll(lambda: moves(scene, "done") >= done + 2, timeout=PATIENCE, pause=0.02), log.read_text()
        recall_id = scene.recall(mail)
        later = scene.send_again(mail)
        done = moves(scene, "done")
        assert poll(lambda: moves(scene, "done") > done, timeout=PATIENCE, pause=0.02), log.read_text()
        assert first.poll() is None, "the mover was done before the blow fell"
        first.send_signal(signal.SIGKILL)
        first.wait(PATIENCE)

    assert poll(lambda: not moves(scene, "copying", "leaving"), timeout=PATIENCE), "nobody ended the interrupted move"
    with mover(scene, log, people[:60]) as second:
        assert second.wait(PATIENCE) == 0, log.read_text()
    scene.await_settlement(recall_id)
    scene.check_books(mail, recall_id, read=100)
    scene.await_delivery(later)
    check_copies(scene, later)
    recall_id = scene.recall(later)
    scene.await_settlement(recall_id)
    scene.check_books(later, recall_id, read=0)
