"""R26: a worker killed around each commit of an undo and of a purge: every one ends in the same totals."""

from collections import Counter
from typing import Any

import pytest

from mailrecall import clock
from mailrecall.audit import verification
from mailrecall.domain.recalls import Requester
from mailrecall.domain.trail import Event
from mailrecall.domain.undo import UndoState
from mailrecall.embedded.deadlines import poll
from mailrecall.faultpoints import Commit
from mailrecall.recalls import undoing
from mailrecall.recalls.undoing import Undo, Undoing
from tests import correspondence
from tests.fault.scene import Delivered, Scene
from tests.fault.test_fault_points import arm, assert_struck, points

PEOPLE, READ = 120, 20


def ask_undo(scene: Scene, mail: Delivered, recall_id: int) -> None:
    """Ask as an administrator of the sender's organisation."""
    requester = Requester(mail.sender.id, mail.sender.organisation_id, administrator=True)
    with scene.databases.control() as connection:
        asked = undoing.request(connection, requester, scene.view(recall_id).public_id, None, now=clock.now())
    assert isinstance(asked, Undoing), asked


def await_undo(scene: Scene, recall_id: int) -> Undo:
    def look() -> Undo | None:
        with scene.databases.control() as connection:
            return undoing.find(connection, recall_id)

    def restored() -> bool:
        undo = scene.patiently(look)
        return undo is not None and undo.state is UndoState.RESTORED

    assert poll(restored, timeout=120), "the undo was not finished in time"
    undo = look()
    assert undo is not None
    return undo


def facts_of_copies(scene: Scene, mail: Delivered) -> Counter[int]:
    found: Counter[int] = Counter()
    for shard in scene.databases.shards:
        with scene.databases.shard(shard) as connection:
            rows = connection.execute("SELECT facts FROM copy WHERE message_id = %s", (mail.message_id,)).fetchall()
        found.update(facts for (facts,) in rows)
    return found


def assert_trail_is_sound(scene: Scene, mail: Delivered) -> None:
    with scene.databases.control() as connection:
        assert verification.verify(connection, mail.sender.organisation_id).sound


def recorded(scene: Scene, recall_id: int, event: Event) -> list[dict[str, Any]]:
    """What the audit trail says of a recall: the details of each such event."""
    with scene.databases.control() as connection:
        rows = connection.execute(
            "SELECT details FROM audit_record WHERE recall_id = %s AND event = %s ORDER BY number", (recall_id, event)
        ).fetchall()
    return [details for (details,) in rows]


@pytest.mark.rule(12, 26)
@pytest.mark.parametrize("point", points(Commit.RESTORE, Commit.RESTORE_RECORD))
def test_r12_r26_a_death_during_an_undo_changes_no_total(scene, point):
    mail = scene.deliver(PEOPLE, read=READ)
    recall_id = scene.recall(mail)
    scene.await_settlement(recall_id)
    arm(scene, point)

    ask_undo(scene, mail, recall_id)
    assert_struck(scene, point)

    undo = await_undo(scene, recall_id)
    assert (undo.restored, undo.gone) == (PEOPLE - READ, 0)
    assert facts_of_copies(scene, mail) == {0: PEOPLE - READ, 1: READ}
    # and it can be recalled again, to the same totals
    again = scene.recall(mail)
    assert again != recall_id
    scene.await_settlement(again)
    scene.check_books(mail, again, read=READ)
    assert_trail_is_sound(scene, mail)


@pytest.mark.rule(26)
@pytest.mark.parametrize("point", points(Commit.PURGE_BEGIN, Commit.PURGE, Commit.PURGE_RECORD))
def test_r26_a_death_during_a_purge_purges_what_is_due_and_nothing_else(scene, point):
    mail = scene.deliver(PEOPLE, read=READ, retention=0)
    arm(scene, point)
    recall_id = scene.recall(mail)
    settled = scene.await_settlement(recall_id)
    assert_struck(scene, point)

    def purged() -> bool:
        with scene.databases.control() as connection:
            row = connection.execute(
                "SELECT purged_at IS NOT NULL AND purge_due_at IS NULL FROM recall WHERE id = %s", (recall_id,)
            ).fetchone()
        return bool(row and row[0])

    assert poll(lambda: scene.patiently(purged), timeout=120), "the purge was not finished in time"
    assert correspondence.ledger(scene.databases, recall_id).rows == []
    assert facts_of_copies(scene, mail) == {1: READ}
    assert scene.view(recall_id).tally == settled.tally
    assert recorded(scene, recall_id, Event.PURGED) == [{}]
    assert scene.reports(recall_id) == 1
    for shard in scene.databases.shards:
        with scene.databases.shard(shard) as connection:
            # those who have read it still can
            assert connection.execute("SELECT FROM body WHERE id = %s", (mail.message_id,)).fetchone() is not None
    assert_trail_is_sound(scene, mail)
