"""A worker killed while it reconciles: shards are given up once, lost work is done once, and all totals are exact."""

import pytest

from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Result
from mailrecall.domain.trail import Event
from mailrecall.embedded.deadlines import poll
from mailrecall.faultpoints import Commit
from mailrecall.outbox.work import Task
from mailrecall.recalls.requests import Requested
from mailrecall.recalls.views import RecallView
from tests import correspondence
from tests.fault.scene import Delivered, Scene
from tests.fault.test_fault_points import READ, arm, assert_struck, copies, marks, points
from tests.fault.test_shard_outage import let_the_deadline_pass, shard_away, unconfirmed
from tests.fault.test_undo_faults import assert_trail_is_sound, recorded

PEOPLE = 120
ON_SHARD = PEOPLE // 2


BATCHES = PEOPLE // 20
"""On both shards together."""


def try_again(scene: Scene, mail: Delivered, recall_id: int) -> RecallView:
    """Ask again for what no shard had answered for (R12), and wait until everything is taken."""
    again = correspondence.ask(scene.databases, mail.sender, mail.message_id)
    assert isinstance(again, Requested)
    assert not again.created
    everybody = {Outcome.RECALLED: mail.people}
    assert poll(lambda: scene.view(recall_id).tally.counts == everybody, timeout=120), scene.view(recall_id)
    view = scene.await_settlement(recall_id)
    assert poll(lambda: unconfirmed(scene, recall_id) == 0, timeout=120), "a batch was never withdrawn"
    scene.await_rest()
    scene.check_books(mail, recall_id, read=0)
    assert_trail_is_sound(scene, mail)
    return view


@pytest.mark.rule(9, 12)
@pytest.mark.parametrize("point", points(Commit.GIVE_UP, Commit.SETTLE))
def test_r9_r12_a_death_while_a_shard_is_given_up_counts_it_once(scene, point):
    mail = scene.deliver(PEOPLE, read=0)
    with shard_away(scene):
        recall_id = scene.patiently(lambda: scene.recall(mail))
        assert poll(lambda: scene.view(recall_id).tally.total == ON_SHARD, timeout=60), "the other shard was held up"
        # nobody but the task of settling settles it now
        arm(scene, point)
        let_the_deadline_pass(scene, recall_id)
        assert_struck(scene, point)
        given_up = scene.await_settlement(recall_id)

    assert given_up.tally.counts == {Outcome.RECALLED: ON_SHARD, Outcome.UNREACHABLE: ON_SHARD}
    assert given_up.result is Result.PARTIAL
    assert recorded(scene, recall_id, Event.SHARDS_GIVEN_UP) == [{"batches": BATCHES // 2}]
    assert len(recorded(scene, recall_id, Event.RECALL_SETTLED)) == 1
    view = try_again(scene, mail, recall_id)
    assert view.result is Result.SUCCEEDED
    assert scene.reports(recall_id) == 1


@pytest.mark.rule(9, 12, 13)
@pytest.mark.parametrize("point", points(Commit.GIVE_UP, Commit.RELEASE))
def test_r9_r12_r13_a_death_while_all_stay_because_a_shard_is_given_up_leaves_no_mark(scene, point):
    mail = scene.deliver(PEOPLE, read=0, group_mode="all_or_nothing")
    with shard_away(scene):
        recall_id = scene.patiently(lambda: scene.recall(mail))
        assert poll(lambda: prepared_on_the_other_shard(scene, recall_id), timeout=60), "it was held up"
        if point in points(Commit.GIVE_UP):
            arm(scene, point)
        let_the_deadline_pass(scene, recall_id)
        given_up = scene.await_settlement(recall_id)
        if point in points(Commit.RELEASE):
            # what was counted as unreachable is let go as soon as it can be reached
            arm(scene, point)
    assert_struck(scene, point)
    scene.await_rest()

    expected = {Outcome.VETOED: ON_SHARD, Outcome.UNREACHABLE: ON_SHARD}
    assert given_up.tally.counts == scene.view(recall_id).tally.counts == expected
    assert given_up.result is Result.FAILED
    assert (copies(scene, mail), marks(scene, mail)) == (PEOPLE, 0)
    silent, *released = (one["batches"] for one in recorded(scene, recall_id, Event.SHARDS_GIVEN_UP))
    # what was released on the other shard, and is not done by the next look, counts without its word too
    assert (silent, sum(released) <= BATCHES // 2) == (BATCHES // 2, True)
    assert len(recorded(scene, recall_id, Event.RECALL_SETTLED)) == 1
    view = try_again(scene, mail, recall_id)
    assert view.result is Result.SUCCEEDED
    assert marks(scene, mail) == 0
    assert scene.reports(recall_id) == 1


def prepared_on_the_other_shard(scene: Scene, recall_id: int) -> bool:
    with scene.databases.control() as connection:
        row = connection.execute(
            "SELECT bool_and(prepared_attempt = 1) FROM recall_batch WHERE recall_id = %s AND shard = 0", (recall_id,)
        ).fetchone()
    return bool(row and row[0])


@pytest.mark.parametrize("point", points(Commit.PUBLISH_AGAIN))
def test_a_death_while_lost_work_is_published_again_changes_no_total(scene, point):
    mail = scene.deliver(PEOPLE, read=READ)
    arm(scene, point)
    with scene.databases.control() as connection:
        asked = correspondence.ask_on(connection, mail.sender, mail.message_id)
        assert isinstance(asked, Requested)
        # as if it had been published, and the broker had lost it
        lost = connection.execute(
            "UPDATE outbox SET published_at = now() - interval '1 hour', attempts = 1"
            " WHERE task = %s AND (args ->> 'recall_id')::bigint = %s",
            (Task.PLAN, asked.recall.id),
        )
        assert lost.rowcount == 1
    assert_struck(scene, point)

    scene.await_settlement(asked.recall.id)

    scene.check_books(mail, asked.recall.id, read=READ)
    assert scene.reports(asked.recall.id) == 1


@pytest.mark.parametrize("point", points(Commit.REVIVE))
def test_a_death_while_a_recall_gets_new_work_changes_no_total(scene, point):
    mail = scene.deliver(PEOPLE, read=READ)
    arm(scene, point)
    with scene.databases.control() as connection:
        asked = correspondence.ask_on(connection, mail.sender, mail.message_id)
        assert isinstance(asked, Requested)
        # as an operator may have dropped it, a while ago
        connection.execute(
            "DELETE FROM outbox WHERE task = %s AND (args ->> 'recall_id')::bigint = %s", (Task.PLAN, asked.recall.id)
        )
        connection.execute(
            "UPDATE recall SET requested_at = requested_at - interval '2 minutes' WHERE id = %s", (asked.recall.id,)
        )
    assert_struck(scene, point)

    scene.await_settlement(asked.recall.id)

    scene.check_books(mail, asked.recall.id, read=READ)
    assert scene.reports(asked.recall.id) == 1
