"""Mailboxes that move while mail is delivered and recalled by real workers; the mover is killed, and begins again.

And a worker is killed that divides a batch whose mailboxes moved before anything of it came.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from mailrecall import clock
from mailrecall.embedded.deadlines import poll
from mailrecall.faultpoints import Commit
from mailrecall.outbox.work import Task
from mailrecall.shards import moving
from tests.fault.scene import Delivered, Scene
from tests.fault.test_fault_points import arm, assert_struck, points

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


@contextmanager
def deposits_put_off(scene: Scene) -> Iterator[None]:
    """Let the deposits into shard 0 that are written down until the end of the block be due in an hour."""
    with scene.databases.control() as connection:
        connection.execute(
            "CREATE FUNCTION put_off() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.due_at := NEW.due_at + interval '1 hour'; RETURN NEW; END $$;"
            " CREATE TRIGGER put_off BEFORE INSERT ON outbox FOR EACH ROW"
            " WHEN (NEW.task = 'delivery.deposit' AND NEW.args ->> 'shard' = '0') EXECUTE FUNCTION put_off()"
        )
    try:
        yield
    finally:
        with scene.databases.control() as connection:
            connection.execute("DROP TRIGGER put_off ON outbox; DROP FUNCTION put_off()")


def put_off(scene: Scene, mail: Delivered) -> int:
    """Count what was put off of a message."""
    with scene.databases.control() as connection:
        row = connection.execute(
            "SELECT count(*) FROM outbox WHERE task = %s AND (args ->> 'message_id')::bigint = %s AND due_at > %s",
            (Task.DEPOSIT, mail.message_id, clock.now() + timedelta(minutes=30)),
        ).fetchone()
    assert row is not None
    return int(row[0])


def bring_forward(scene: Scene, mail: Delivered) -> None:
    """Let what was put off of a message be due."""
    with scene.databases.control() as connection:
        connection.execute(
            "UPDATE outbox SET due_at = %s WHERE task = %s AND (args ->> 'message_id')::bigint = %s",
            (clock.now(), Task.DEPOSIT, mail.message_id),
        )


def mailboxes(scene: Scene, mail: Delivered, shard: int) -> list[int]:
    """Those to whom the mail went whose mailboxes are on a shard."""
    with scene.databases.control() as connection:
        rows = connection.execute(
            "SELECT a.id FROM account a JOIN group_member g ON g.account_id = a.id"
            " WHERE g.group_id = %s AND a.shard = %s ORDER BY a.id",
            (mail.team.id, shard),
        ).fetchall()
    return [mailbox_id for (mailbox_id,) in rows]


def batches(scene: Scene, mail: Delivered) -> list[tuple[int, int]]:
    """The batches of a message's delivery, as shard and size."""
    with scene.databases.control() as connection:
        return connection.execute(
            "SELECT shard, cardinality(mailbox_ids) FROM delivery_batch WHERE message_id = %s ORDER BY 1, 2",
            (mail.message_id,),
        ).fetchall()


@pytest.mark.parametrize("point", points(Commit.MEND, Commit.MEND_RECORD))
def test_a_death_while_a_batch_is_divided_whose_mailboxes_moved_before_it_came_delivers_each_copy_once(scene, point):
    with deposits_put_off(scene):
        mail = scene.send(120)
        assert poll(lambda: put_off(scene, mail) == 3, timeout=60), "the message was not expanded"
    # all of one batch, and half of another
    leaving = mailboxes(scene, mail, 0)[:30]
    with moving.mover(scene.session.settings, scene.databases) as movers:
        movers.move(0, 1, leaving, now=clock.now())
    arm(scene, point)

    bring_forward(scene, mail)

    assert_struck(scene, point)
    scene.await_delivery(mail)
    check_copies(scene, mail)
    assert batches(scene, mail) == [(0, 10), (0, 20), (1, 10), *[(1, 20)] * 4]
    recall_id = scene.recall(mail)
    scene.await_settlement(recall_id)
    scene.check_books(mail, recall_id, read=0)
    scene.await_rest()
