"""Restored backups, and mail that was recalled before it was delivered (R16): what was undone of it is there."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailrecall import clock
from mailrecall.backups.reconciling import Findings
from mailrecall.outbox.work import Task
from mailrecall.recalls import progress
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company as companies
from tests import dispatch
from tests.company import Company
from tests.moving import open_work, run_all, run_one
from tests.restoring import (
    PEOPLE,
    Installation,
    ask,
    check_recalled,
    check_undone,
    installed,
    reconciled,
    send,
    shown,
    undo,
)
from tests.servers import Servers


@pytest.fixture
def installation(servers: Servers, tmp_path: Path) -> Iterator[Installation]:
    with installed(servers, tmp_path, batch_size=2) as installation:
        yield installation


@pytest.fixture
def company(installation: Installation) -> Company:
    return companies.found(installation.databases, people=PEOPLE)


def kept_out(process: Process[Settings], company: Company) -> tuple[int, int]:
    """A message, and the recall for which its deposits left everybody out; nothing is withdrawn yet."""
    message_id = send(process, company)
    dispatch.run(process, Task.EXPAND)
    recall_id = ask(process, company, message_id)
    dispatch.run(process, Task.PLAN, Task.DEPOSIT, Task.FILE_AUTHOR_COPY)
    return message_id, recall_id


@pytest.mark.rule(16, 26)
@pytest.mark.parametrize("gives_up", [False, True], ids=["withdrawn", "given up"])
def test_r16_r26_what_was_kept_out_and_put_back_comes_back_to_a_shard_that_forgot_it(
    installation: Installation, company: Company, gives_up: bool
):
    process = installation.process
    message_id, recall_id = kept_out(process, company)
    older = installation.back_up(installation.settings.shard_urls[0])
    if gives_up:
        with process.databases.control() as connection:
            assert progress.give_up(connection, recall_id, now=clock.now() + timedelta(days=1))
    run_all(process)
    undo(process, company, recall_id)
    check_undone(process, company, recall_id, message_id)

    with installation.restored(shards={0: older}) as process:
        assert len(shown(process.databases, company, message_id)) < PEOPLE, "the backup must be from before the undo"
        found = reconciled(process)
        assert (found.restored_again, found.withdrawn_again) == (2, 0)
        run_all(process)
        check_undone(process, company, recall_id, message_id)
        assert reconciled(process) == Findings()


@pytest.mark.rule(16)
def test_r16_what_was_kept_out_gets_its_ledger_again_on_a_shard_that_forgot_it(
    installation: Installation, company: Company
):
    process = installation.process
    message_id, recall_id = kept_out(process, company)
    older = installation.back_up(installation.settings.shard_urls[0])
    run_all(process)
    check_recalled(process, recall_id, message_id)

    with installation.restored(shards={0: older}) as process:
        assert reconciled(process).withdrawn_again == 2
        run_all(process)
        check_recalled(process, recall_id, message_id)
        assert reconciled(process) == Findings()


@pytest.mark.rule(16, 26)
def test_r16_r26_an_undo_that_a_shard_forgot_in_part_keeps_out_nothing_of_the_rest(
    installation: Installation, company: Company
):
    process = installation.process
    message_id = send(process, company)
    dispatch.run(process, Task.EXPAND)
    recall_id = ask(process, company, message_id)
    dispatch.run(process, Task.PLAN, Task.FILE_AUTHOR_COPY)
    for task in (Task.DEPOSIT, Task.WITHDRAW):
        here = [todo for todo in open_work(process.databases) if (todo.task, todo.args["shard"]) == (task, 0)]
        assert len(here) == 2, "there must be one that the backup knows nothing of"
        assert run_one(process, here[0])
    older = installation.back_up(installation.settings.shard_urls[0])
    run_all(process)
    undo(process, company, recall_id)
    check_undone(process, company, recall_id, message_id)

    with installation.restored(shards={0: older}) as process:
        found = reconciled(process)
        assert (found.deposited_again, found.restored_again) == (1, 2)
        run_all(process)
        check_undone(process, company, recall_id, message_id)
        assert reconciled(process) == Findings()
