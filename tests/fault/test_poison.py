"""Work that kills its worker with every try: put aside in the end, told by the command, and done once it can be."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner, Result

from mailrecall.cli.main import main
from mailrecall.domain.outcomes import Outcome
from mailrecall.embedded.deadlines import poll
from mailrecall.faultpoints import Commit
from mailrecall.outbox.work import Task
from mailrecall.recalls.requests import Requested
from tests import correspondence
from tests.fault.scene import Scene
from tests.fault.test_fault_points import copies, points
from tests.fault.test_shard_outage import let_the_deadline_pass

PEOPLE, READ = 20, 4
BATCHES = 2
"""One on each shard, of which there are two."""


@pytest.fixture
def command(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    settings = scene.session.settings
    monkeypatch.setenv("MAILRECALL_CONTROL_URL", settings.control_url)
    monkeypatch.setenv("MAILRECALL_SHARD_URLS", " ".join(settings.shard_urls))
    monkeypatch.setenv("MAILRECALL_BROKER_URL", settings.broker_url)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["outbox", *arguments])

    return call


@contextmanager
def deadly(scene: Scene, point: str) -> Iterator[None]:
    """Let every worker die that comes to the point, until the block ends."""
    folder = scene.fault_points / point
    folder.mkdir()
    try:
        yield
    finally:
        folder.rmdir()


def withdrawals(scene: Scene, recall_id: int) -> list[tuple[bool, int]]:
    """What is left of a recall's withdrawals: whether each is put aside, and how often it failed."""
    with scene.databases.control() as connection:
        return connection.execute(
            "SELECT dead, failures FROM outbox WHERE task = %s AND (args ->> 'recall_id')::bigint = %s",
            (Task.WITHDRAW, recall_id),
        ).fetchall()


def as_if_it_had_failed_nearly_too_often(scene: Scene, recall_id: int) -> None:
    """Let many tries and their pauses be over in a moment."""
    with scene.databases.control() as connection:
        connection.execute(
            "UPDATE outbox SET failures = %s WHERE task = %s AND (args ->> 'recall_id')::bigint = %s",
            (scene.session.settings.outbox_failures - 1, Task.WITHDRAW, recall_id),
        )


def await_putting_aside(scene: Scene, recall_id: int) -> None:
    """Wait until a recall's withdrawals have failed by deaths alone, then until nobody tries them."""

    def failed() -> bool:
        return sum(failures > 0 for _, failures in withdrawals(scene, recall_id)) == BATCHES

    def put_aside() -> bool:
        left = withdrawals(scene, recall_id)
        return len(left) >= BATCHES and all(dead for dead, _ in left)

    assert poll(failed, timeout=60), withdrawals(scene, recall_id)
    as_if_it_had_failed_nearly_too_often(scene, recall_id)
    assert poll(put_aside, timeout=60), withdrawals(scene, recall_id)


DEADLY = points(Commit.WITHDRAW)[0]


def test_a_withdrawal_that_kills_every_worker_is_put_aside_shown_and_done_once_it_can_be(scene, command):
    mail = scene.deliver(PEOPLE, read=READ)
    with deadly(scene, DEADLY):
        recall_id = scene.recall(mail)
        await_putting_aside(scene, recall_id)

        shown = command("list", "--task", Task.WITHDRAW.value, "--json").output.splitlines()
        ours = [work for work in map(json.loads, shown) if work["ids"]["recall_id"] == recall_id]
    assert {work["ids"]["shard"] for work in ours} == {0, 1}
    assert {work["failure"] for work in ours} == {"WorkerLostError"}

    retried = command("retry", *(str(work["work"]) for work in ours))

    assert retried.exit_code == 0, retried.output
    scene.await_settlement(recall_id)
    scene.await_rest()
    scene.check_books(mail, recall_id, read=READ)
    assert scene.reports(recall_id) == 1


@pytest.mark.rule(9, 12)
def test_r9_r12_a_recall_whose_withdrawals_kill_every_worker_ends_at_its_deadline(scene):
    mail = scene.deliver(PEOPLE, read=READ)
    with deadly(scene, DEADLY):
        recall_id = scene.recall(mail)
        await_putting_aside(scene, recall_id)
        let_the_deadline_pass(scene, recall_id)
        given_up = scene.await_settlement(recall_id)
        scene.await_rest()

    assert given_up.tally.counts == {Outcome.UNREACHABLE: PEOPLE}
    assert withdrawals(scene, recall_id) == []
    assert copies(scene, mail) == PEOPLE
    again = correspondence.ask(scene.databases, mail.sender, mail.message_id)
    assert isinstance(again, Requested)
    assert not again.created
    expected = {Outcome.RECALLED: PEOPLE - READ, Outcome.ALREADY_READ: READ}
    assert poll(lambda: scene.view(recall_id).tally.counts == expected, timeout=60), scene.view(recall_id)
    scene.await_settlement(recall_id)
    scene.check_books(mail, recall_id, read=READ)
    assert scene.reports(recall_id) == 1
