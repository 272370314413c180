"""A shard stops while a message is delivered to it, and the message is recalled: what arrives late never shows (R16).

A witness on the shard, a trigger, writes down when copies of which message came in, so that no moment is missed.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

import psycopg
import pytest

from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Result, State
from mailrecall.embedded.deadlines import poll
from mailrecall.recalls.requests import Requested
from tests import correspondence
from tests.fault.scene import PEOPLE, Delivered, Scene, away
from tests.locks import until_somebody_waits_for_a_lock

SHARD = 1
ON_SHARD = PEOPLE // 2
FROZEN = 16
"""The advisory lock without which no copies come to the shard."""


@pytest.fixture(autouse=True)
def witness(scene: Scene) -> None:
    with scene.databases.shard(SHARD) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS arrival (message_id bigint, copies bigint, at timestamptz);"
            " CREATE OR REPLACE FUNCTION note_arrival() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" PERFORM pg_advisory_xact_lock_shared({FROZEN});"
            " INSERT INTO arrival SELECT message_id, count(*), clock_timestamp() FROM arrived GROUP BY message_id;"
            " RETURN NULL; END $$;"
            " CREATE OR REPLACE TRIGGER witness AFTER INSERT ON copy REFERENCING NEW TABLE AS arrived"
            " FOR EACH STATEMENT EXECUTE FUNCTION note_arrival()"
        )


def arrived(scene: Scene, mail: Delivered, *, since: datetime | None = None) -> int:
    """Count the copies of a message that came to the shard, those withdrawn since included."""
    with scene.databases.shard(SHARD) as connection:
        row = connection.execute(
            "SELECT coalesce(sum(copies), 0)::int FROM arrival"
            " WHERE message_id = %s AND at > coalesce(%s::timestamptz, '-infinity')",
            (mail.message_id, since),
        ).fetchone()
    assert row is not None
    return int(row[0])


def server_time(scene: Scene) -> datetime:
    """Return the time by the clock that the witness reads."""
    with scene.databases.control() as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def deposited(scene: Scene, mail: Delivered) -> int:
    """Count the recipients on the shard whose batches are known to be delivered."""
    with scene.databases.control() as connection:
        row = connection.execute(
            "SELECT coalesce(sum(cardinality(mailbox_ids)), 0)::int FROM delivery_batch"
            " WHERE message_id = %s AND shard = %s AND deposited_at IS NOT NULL",
            (mail.message_id, SHARD),
        ).fetchone()
    assert row is not None
    return int(row[0])


def let_the_deadline_pass(scene: Scene, recall_id: int) -> None:
    """Let an hour be over in a moment."""
    with scene.databases.control() as connection:
        connection.execute(
            "UPDATE recall SET deadline_at = requested_at - interval '1 hour' WHERE id = %s", (recall_id,)
        )


def unconfirmed(scene: Scene, recall_id: int) -> int:
    """Count the batches of which the shard has yet to say what became of them."""
    with scene.databases.control() as connection:
        row = connection.execute(
            "SELECT count(*) FROM recall_batch WHERE recall_id = %s AND state <> 'done'", (recall_id,)
        ).fetchone()
    assert row is not None
    return int(row[0])


def await_some_deposits(scene: Scene, mail: Delivered) -> None:
    """Wait until the delivery to the shard is under way."""
    assert poll(lambda: deposited(scene, mail) > 0, timeout=60, pause=0.005), "the delivery did not begin"


def shard_away(scene: Scene) -> AbstractContextManager[None]:
    """Let the shard refuse everybody, and throw out who is in, until the block ends."""
    settings = scene.session.settings
    return away(settings.shard_urls[SHARD], settings.control_url)


@contextmanager
def delivery_frozen(scene: Scene) -> Iterator[None]:
    """Let whoever deposits on the shard stop in the middle of it, one at least, until the block ends."""

    def within_a_deposit() -> bool:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted", (FROZEN,)
        ).fetchone()
        return bool(row and row[0])

    with psycopg.connect(scene.session.settings.shard_urls[SHARD], autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (FROZEN,))
        assert poll(within_a_deposit, timeout=60, pause=0.005), "no deposit was caught"
        yield


@pytest.mark.rule(16)
def test_r16_a_shard_that_stops_during_the_delivery_never_shows_what_arrives_after_the_recall(scene):
    mail = scene.send()
    await_some_deposits(scene, mail)
    with shard_away(scene):
        before = deposited(scene, mail)
        recall_id = scene.patiently(lambda: scene.recall(mail))
        accepted = server_time(scene)
        assert 0 < before < ON_SHARD, "the shard did not stop in the middle"
        assert poll(lambda: scene.view(recall_id).tally.total >= ON_SHARD, timeout=60), "the other shard was held up"
        assert scene.view(recall_id).state is State.RUNNING

    scene.await_settlement(recall_id)
    scene.await_delivery(mail)

    assert before <= arrived(scene, mail) < ON_SHARD
    assert arrived(scene, mail, since=accepted) == 0
    scene.check_books(mail, recall_id, read=0)


@pytest.mark.rule(16, 9, 12)
def test_r16_a_shard_that_stays_away_past_the_deadline_never_shows_what_arrives_after_it(scene):
    mail = scene.send()
    await_some_deposits(scene, mail)
    with shard_away(scene):
        recall_id = scene.patiently(lambda: scene.recall(mail))
        accepted = server_time(scene)
        assert poll(lambda: scene.view(recall_id).tally.total >= ON_SHARD, timeout=120), "the other shard was held up"
        let_the_deadline_pass(scene, recall_id)
        given_up = scene.await_settlement(recall_id)
        # by now, what the shard committed before it went away is known here too
        before = deposited(scene, mail)
        assert 0 < before < ON_SHARD, "the shard did not stop in the middle"

    scene.await_delivery(mail)
    late = arrived(scene, mail, since=accepted)
    again = correspondence.ask(scene.databases, mail.sender, mail.message_id)

    assert given_up.tally.counts == {Outcome.RECALLED: PEOPLE - before, Outcome.UNREACHABLE: before}
    assert given_up.result is Result.PARTIAL
    assert late == 0
    assert isinstance(again, Requested)
    assert not again.created
    everybody = {Outcome.RECALLED: PEOPLE}
    assert poll(lambda: scene.view(recall_id).tally.counts == everybody, timeout=120), scene.view(recall_id)
    scene.await_settlement(recall_id)
    # what was counted without the shard's word is not in its ledger before it has been withdrawn there
    assert poll(lambda: unconfirmed(scene, recall_id) == 0, timeout=120), "a batch was never withdrawn"
    scene.check_books(mail, recall_id, read=0)
    assert arrived(scene, mail, since=accepted) == 0


@pytest.mark.rule(16)
def test_r16_a_recall_asked_for_within_a_frozen_deposit_takes_that_along_and_leaves_nothing(scene):
    mail = scene.send()
    await_some_deposits(scene, mail)
    with ThreadPoolExecutor(1) as threads:
        with delivery_frozen(scene):
            # the request waits for seconds only; on a slow machine it is made again
            asking = threads.submit(scene.patiently, lambda: scene.recall(mail))
            until_somebody_waits_for_a_lock(scene.session.settings)
            assert not asking.done()
        recall_id = asking.result(60)
    accepted = server_time(scene)

    scene.await_settlement(recall_id)
    scene.await_delivery(mail)

    assert 0 < arrived(scene, mail) < ON_SHARD
    assert arrived(scene, mail, since=accepted) == 0
    scene.check_books(mail, recall_id, read=0)
