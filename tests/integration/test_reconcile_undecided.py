"""R13: decisions that readers alone went by before they were forgotten, and preparations that a shard has forgotten."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mailrecall import clock
from mailrecall.backups.reconciling import Findings
from mailrecall.directory.lookup import Account
from mailrecall.domain.recalls import Verdict
from mailrecall.mailstore import preparation, reading
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import decisions, progress
from mailrecall.recalls.decisions import Attempt
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company as companies
from tests import correspondence, dispatch
from tests.company import Company
from tests.moving import Todo, open_work, run_all, run_one
from tests.restoring import (
    PEOPLE,
    Installation,
    check_all_stay,
    check_recalled,
    installed,
    reconciled,
    send,
    verdict,
)
from tests.servers import Servers


@pytest.fixture
def installation(servers: Servers, tmp_path: Path) -> Iterator[Installation]:
    with installed(servers, tmp_path, batch_size=2, decision_wait=0.2) as installation:
        yield installation


@pytest.fixture
def company(installation: Installation) -> Company:
    return companies.found(installation.databases, people=PEOPLE, switches={"group_mode": "all_or_nothing"})


def prepare_all_but_one(process: Process[Settings], company: Company, message_id: int) -> tuple[int, Todo]:
    """Ask for a recall, and have all batches but the last one recorded as prepared."""
    asked = correspondence.ask(process.databases, company.postmaster, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.EXPAND, Task.PLAN)
    *others, last = [todo for todo in open_work(process.databases) if todo.task == Task.PREPARE]
    assert others
    assert all(run_one(process, todo) for todo in others)
    return asked.recall.id, last


def prepare_on_shard(process: Process[Settings], todo: Todo) -> None:
    """Prepare a batch as a worker that dies before the control database knows."""
    with process.databases.control() as connection:
        planned = progress.batch_to_withdraw(connection, todo.args["recall_id"], todo.args["batch"])
    assert planned is not None
    batch = planned.as_batch(todo.args["recall_id"], todo.args["batch"])
    with process.databases.shard(todo.args["shard"]) as connection:
        assert preparation.prepare(connection, batch, now=clock.now()) is preparation.Prepared.READY


def members(databases: Databases, company: Company, recall_id: int, batch: int) -> Sequence[Account]:
    with databases.control() as connection:
        ids, _ = progress.recipients_of_batch(connection, recall_id, batch)
    return [one for one in company.people if one.id in ids]


def read(process: Process[Settings], reader: Account, message_id: int) -> None:
    with process.databases.shard(reader.shard) as connection:
        assert reading.mark_read(connection, reader.id, message_id, now=clock.now())


@pytest.mark.rule(4, 13)
@pytest.mark.parametrize(
    ("recorded", "reconciles"),
    [(True, True), (False, True), (False, False)],
    ids=["recorded, reconciled", "not recorded, reconciled", "not recorded, gone on at once"],
)
def test_r13_what_a_reader_decided_and_nobody_carried_out_stays_when_the_decision_is_forgotten(
    installation: Installation, company: Company, recorded: bool, reconciles: bool
):
    process = installation.process
    message_id = send(process, company)
    run_all(process)
    recall_id, last = prepare_all_but_one(process, company, message_id)
    older = installation.back_up(installation.settings.control_url)
    prepare_on_shard(process, last)
    batches = range(1, last.args["batch"]) if recorded else [last.args["batch"]]
    reader = next(one for batch in batches for one in members(process.databases, company, recall_id, batch))
    read(process, reader, message_id)
    assert verdict(process, recall_id) is Verdict.RELEASE, "the reader must have decided"

    with installation.restored(control=older) as process:
        assert verdict(process, recall_id) is None, "the backup must be from before the decision"
        if reconciles:
            assert reconciled(process).prepared_again == last.args["batch"] - 1
            assert reconciled(process) == Findings()
        run_all(process)
        check_all_stay(process, company, recall_id, message_id)


@pytest.mark.rule(13, 16)
def test_r16_what_arrived_after_a_release_and_was_read_stays_when_the_release_is_forgotten(
    installation: Installation, company: Company
):
    process = installation.process
    message_id = send(process, company)
    recall_id, last = prepare_all_but_one(process, company, message_id)
    older = installation.back_up(installation.settings.control_url)
    with process.databases.control() as connection:
        decisions.decide(connection, Attempt(recall_id, 1), Verdict.RELEASE, now=clock.now())
    for todo in open_work(process.databases):
        if todo.task == Task.DEPOSIT:
            assert run_one(process, todo)
    read(process, members(process.databases, company, recall_id, 1)[0], message_id)

    with installation.restored(control=older) as process:
        assert reconciled(process).prepared_again == last.args["batch"] - 1
        run_all(process)
        check_all_stay(process, company, recall_id, message_id)


@pytest.mark.rule(4, 13)
@pytest.mark.parametrize("is_read", [True, False])
def test_r13_what_a_shard_had_prepared_and_has_forgotten_it_prepares_again(
    installation: Installation, company: Company, is_read: bool
):
    process = installation.process
    message_id = send(process, company)
    run_all(process)
    older = {number: installation.back_up(url) for number, url in enumerate(installation.settings.shard_urls)}
    recall_id, last = prepare_all_but_one(process, company, message_id)
    with process.databases.control() as connection:
        row = connection.execute(
            "SELECT shard, batch FROM recall_batch WHERE recall_id = %s AND prepared_attempt = 1", (recall_id,)
        ).fetchone()
    assert row is not None
    shard, batch = row

    with installation.restored(shards={shard: older[shard]}) as process:
        assert reconciled(process).prepared_again == last.args["batch"] - 1
        assert reconciled(process) == Findings()
        if is_read:
            read(process, members(process.databases, company, recall_id, batch)[0], message_id)
            assert verdict(process, recall_id) is None, "nothing there may keep the reader waiting"
        run_all(process)
        if is_read:
            check_all_stay(process, company, recall_id, message_id)
        else:
            check_recalled(process, recall_id, message_id)
            assert reconciled(process) == Findings()
