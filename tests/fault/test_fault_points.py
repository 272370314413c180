"""A worker killed right before and right after each commit: every one ends in the same totals, and in one report."""

from collections import Counter

import pytest

from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Result
from mailrecall.embedded.deadlines import poll
from mailrecall.faultpoints import POINTS, Commit
from tests import correspondence
from tests.fault.scene import Delivered, Scene

PEOPLE, READ = 120, 20

OF_DELIVERY = {Commit.EXPAND, Commit.DEPOSIT, Commit.DEPOSIT_RECORD}
OF_DELIVERY_TO_FEW = {
    *(Commit.FILE, Commit.FILE_RECORD, Commit.FORWARD, Commit.BOUNCE),
    *(Commit.RELAY, Commit.REFUSE, Commit.RELAY_RECORD),
}
"""In test_fault_points_of_delivery.py."""
OF_UNDO = {Commit.RESTORE, Commit.RESTORE_RECORD, Commit.PURGE_BEGIN, Commit.PURGE, Commit.PURGE_RECORD}
"""In test_undo_faults.py."""
OF_MOVES = {Commit.MEND, Commit.MEND_RECORD}
"""In test_moving.py."""
OF_ALL_OR_NOTHING = {Commit.PREPARE, Commit.PREPARE_RECORD, Commit.DECIDE, Commit.RELEASE}
OF_REQUESTS = {Commit.ADMIT, Commit.LAPSE}
"""In test_fault_points_of_requests.py."""
OF_RECONCILING = {Commit.PUBLISH_AGAIN, Commit.GIVE_UP, Commit.REVIVE}
"""In test_fault_points_of_reconciling.py."""
OF_RECALLS = (
    set(Commit)
    - (OF_DELIVERY | OF_DELIVERY_TO_FEW | OF_MOVES)
    - (OF_ALL_OR_NOTHING | OF_UNDO | OF_REQUESTS | OF_RECONCILING)
)
"""What is nowhere else: a commit that nobody thought of shows as a point that nobody comes to."""


def commit_of(point: str) -> Commit:
    return Commit(point.partition("_")[2])


def arm(scene: Scene, point: str) -> None:
    (scene.fault_points / point).touch()


def assert_struck(scene: Scene, point: str) -> None:
    assert poll(lambda: not (scene.fault_points / point).exists(), timeout=60), "nobody came to the point"


def points(*commits: Commit) -> list[str]:
    return [point for point in POINTS if commit_of(point) in commits]


@pytest.mark.parametrize("point", points(*OF_DELIVERY))
def test_a_death_during_the_delivery_delivers_each_copy_once(scene, point):
    arm(scene, point)
    mail = scene.send(PEOPLE)
    assert_struck(scene, point)
    scene.await_delivery(mail)

    recall_id = scene.recall(mail)
    scene.await_settlement(recall_id)

    scene.check_books(mail, recall_id, read=0)


@pytest.mark.parametrize("point", points(*OF_RECALLS))
def test_a_death_during_a_recall_changes_no_total(scene, point):
    mail = scene.deliver(PEOPLE, read=READ)
    arm(scene, point)
    recall_id = scene.recall(mail)
    assert_struck(scene, point)

    scene.await_settlement(recall_id)

    scene.check_books(mail, recall_id, read=READ)
    assert scene.reports(recall_id) == 1


@pytest.mark.rule(13)
@pytest.mark.parametrize(
    "point", points(Commit.PLAN, Commit.PREPARE, Commit.PREPARE_RECORD, Commit.DECIDE, Commit.WITHDRAW, Commit.RECORD)
)
def test_r13_a_death_while_all_go_lets_all_go(scene, point):
    mail = scene.deliver(PEOPLE, read=0, group_mode="all_or_nothing")
    arm(scene, point)
    recall_id = scene.recall(mail)
    assert_struck(scene, point)

    view = scene.await_settlement(recall_id)

    assert view.result is Result.SUCCEEDED
    scene.check_books(mail, recall_id, read=0)
    assert scene.reports(recall_id) == 1
    assert marks(scene, mail) == 0


@pytest.mark.rule(13)
@pytest.mark.parametrize("point", points(Commit.DECIDE, Commit.RELEASE))
def test_r13_a_death_while_all_stay_lets_all_stay(scene, point):
    mail = scene.deliver(PEOPLE, read=READ, group_mode="all_or_nothing")
    arm(scene, point)
    recall_id = scene.recall(mail)
    assert_struck(scene, point)

    view = scene.await_settlement(recall_id)

    expected = Counter({Outcome.VETOED: PEOPLE - READ, Outcome.ALREADY_READ: READ})
    assert view.result is Result.FAILED
    assert Counter(dict(view.tally.counts)) == expected
    assert correspondence.ledger(scene.databases, recall_id).counts == expected
    assert copies(scene, mail) == PEOPLE
    assert scene.reports(recall_id) == 1
    assert marks(scene, mail) == 0


def copies(scene: Scene, mail: Delivered) -> int:
    return count(scene, "SELECT FROM copy WHERE message_id = %s", mail)


def marks(scene: Scene, mail: Delivered) -> int:
    """What still waits for a decision: copies and batches."""
    return count(scene, "SELECT FROM copy WHERE message_id = %s AND facts & 32 <> 0", mail) + count(
        scene, "SELECT FROM prepared WHERE message_id = %s", mail
    )


def count(scene: Scene, query: str, mail: Delivered) -> int:
    found = 0
    for shard in scene.databases.shards:
        with scene.databases.shard(shard) as connection:
            found += len(connection.execute(query.encode(), (mail.message_id,)).fetchall())
    return found
