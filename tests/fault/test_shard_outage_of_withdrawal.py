"""A shard stops while delivered copies are withdrawn from it: nothing is lost or taken twice, and all totals are exact.

Its withdrawals are frozen first, by a trigger, so that it stops in the middle of some; others are done, others to come.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Result, State
from mailrecall.embedded.deadlines import poll
from mailrecall.recalls.requests import Requested
from tests import correspondence
from tests.fault.scene import Delivered, Scene
from tests.fault.test_fault_points import copies
from tests.fault.test_shard_outage import SHARD, let_the_deadline_pass, shard_away, unconfirmed

PEOPLE, READ = 1_200, 200
ON_SHARD, READ_ON_SHARD = PEOPLE // 2, READ // 2
FROZEN = 17
"""The advisory lock without which no copies leave the shard."""


@pytest.fixture(autouse=True)
def gate(scene: Scene) -> Iterator[None]:
    with scene.databases.shard(SHARD) as connection:
        connection.execute(
            "CREATE FUNCTION pass_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" PERFORM pg_advisory_xact_lock_shared({FROZEN}); RETURN NULL; END $$;"
            " CREATE TRIGGER gate AFTER DELETE ON copy FOR EACH STATEMENT EXECUTE FUNCTION pass_the_gate()"
        )
    yield
    with scene.databases.shard(SHARD) as connection:
        connection.execute("DROP TRIGGER gate ON copy; DROP FUNCTION pass_the_gate()")


def withdrawn(scene: Scene, recall_id: int) -> int:
    """Count the recipients on the shard whose batches are known to be withdrawn."""
    with scene.databases.control() as connection:
        row = connection.execute(
            "SELECT coalesce(sum(cardinality(d.mailbox_ids)), 0)::int"
            "  FROM recall_batch b JOIN recall r ON r.id = b.recall_id"
            "  JOIN delivery_batch d ON d.message_id = r.message_id AND d.batch = b.batch"
            " WHERE b.recall_id = %s AND b.shard = %s AND b.state = 'done'",
            (recall_id, SHARD),
        ).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def stopped_midway(scene: Scene, recall_id: int) -> Iterator[None]:
    """Stop the shard within a withdrawal, some being done and some to come, until the block ends."""

    def within_a_withdrawal() -> bool:
        row = keeper.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted", (FROZEN,)
        ).fetchone()
        return bool(row and row[0])

    assert poll(lambda: withdrawn(scene, recall_id) > 0, timeout=60, pause=0.005), "the withdrawal did not begin"
    with ExitStack() as ending:
        # the shard throws this one out too, and with it all that wait for it
        keeper = psycopg.connect(scene.session.settings.shard_urls[SHARD], autocommit=True)
        ending.callback(keeper.close)
        keeper.execute("SELECT pg_advisory_lock(%s)", (FROZEN,))
        assert poll(within_a_withdrawal, timeout=60, pause=0.005), "no withdrawal was caught"
        ending.enter_context(shard_away(scene))
        yield


def others_are_done(scene: Scene, recall_id: int) -> bool:
    """Tell whether all batches on the other shard are counted."""
    with scene.databases.control() as connection:
        row = connection.execute(
            "SELECT bool_and(state = 'done') FROM recall_batch WHERE recall_id = %s AND shard <> %s",
            (recall_id, SHARD),
        ).fetchone()
    return bool(row and row[0])


@pytest.mark.rule(2, 9)
def test_r2_r9_a_shard_that_stops_while_copies_are_withdrawn_and_comes_back_changes_no_total(scene):
    mail = scene.deliver(PEOPLE, read=READ)
    recall_id = scene.recall(mail)
    with stopped_midway(scene, recall_id):
        assert poll(lambda: others_are_done(scene, recall_id), timeout=60), "the other shard was held up"
        assert 0 < withdrawn(scene, recall_id) < ON_SHARD, "the shard did not stop in the middle"
        assert scene.view(recall_id).state is State.RUNNING

    view = scene.await_settlement(recall_id)

    assert view.tally.counts == {Outcome.RECALLED: PEOPLE - READ, Outcome.ALREADY_READ: READ}
    assert view.result is Result.PARTIAL
    scene.check_books(mail, recall_id, read=READ)
    assert scene.reports(recall_id) == 1


@pytest.mark.rule(9, 12)
def test_r9_r12_a_shard_that_stops_while_copies_are_withdrawn_and_stays_away_leaves_its_own_unreachable(scene):
    mail = scene.deliver(PEOPLE, read=READ)
    recall_id = scene.recall(mail)
    with stopped_midway(scene, recall_id):
        assert poll(lambda: others_are_done(scene, recall_id), timeout=60), "the other shard was held up"
        let_the_deadline_pass(scene, recall_id)
        given_up = scene.await_settlement(recall_id)
        known = withdrawn(scene, recall_id)

    assert 0 < known < ON_SHARD, "the shard did not stop in the middle"
    counts = given_up.tally.counts
    # what the shard had said before, and all of the other one's, stands
    assert counts[Outcome.UNREACHABLE] == ON_SHARD - known
    assert counts[Outcome.RECALLED] + counts[Outcome.ALREADY_READ] == ON_SHARD + known
    assert READ_ON_SHARD <= counts[Outcome.ALREADY_READ] <= READ
    assert given_up.result is Result.PARTIAL
    assert left(scene, mail) == counts[Outcome.ALREADY_READ] + counts[Outcome.UNREACHABLE]
    assert scene.reports(recall_id) == 1

    again = correspondence.ask(scene.databases, mail.sender, mail.message_id)

    assert isinstance(again, Requested)
    assert not again.created
    everybody = {Outcome.RECALLED: PEOPLE - READ, Outcome.ALREADY_READ: READ}
    assert poll(lambda: scene.view(recall_id).tally.counts == everybody, timeout=120), scene.view(recall_id)
    scene.await_settlement(recall_id)
    assert poll(lambda: unconfirmed(scene, recall_id) == 0, timeout=120), "a batch was never withdrawn"
    scene.check_books(mail, recall_id, read=READ)
    assert scene.reports(recall_id) == 1


def left(scene: Scene, mail: Delivered) -> int:
    return scene.patiently(lambda: copies(scene, mail))
