"""Databases restored from backups of different moments: nothing recalled is readable again, and the totals are true."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from mailrecall import clock
from mailrecall.backups.reconciling import Findings
from mailrecall.domain.copies import author_copy_id
from mailrecall.outbox.work import Task
from mailrecall.recalls import progress
from mailrecall.recalls.requests import Requested
from mailrecall.shards.errors import ShardError
from tests import company as companies
from tests import correspondence, dispatch
from tests.company import Company
from tests.moving import copies, move, open_work, run_all, run_one, shard_of
from tests.restoring import (
    PEOPLE,
    Installation,
    check_recalled,
    check_undone,
    installed,
    prepared,
    recall,
    reconciled,
    send,
    shown,
    undo,
)
from tests.servers import Servers


@pytest.fixture
def installation(servers: Servers, tmp_path: Path) -> Iterator[Installation]:
    with installed(servers, tmp_path) as installation:
        yield installation


@pytest.fixture
def company(installation: Installation) -> Company:
    return companies.found(installation.databases, people=PEOPLE)


def test_a_shard_older_than_the_control_database_does_again_what_it_forgot(
    installation: Installation, company: Company
):
    process = installation.process
    recalled = send(process, company)
    run_all(process)
    older = installation.back_up(installation.settings.shard_urls[0])
    recall_id = recall(process, company, recalled)
    later = send(process, company)
    both = send(process, company)
    run_all(process)
    second_id = recall(process, company, both)

    with installation.restored(shards={0: older}) as process:
        assert copies(process.databases, recalled), "the backup must hold what was recalled after it"
        found = reconciled(process)
        assert not found.lost_messages
        assert found.withdrawn_again >= 2
        run_all(process)

        check_recalled(process, recall_id, recalled)
        check_recalled(process, second_id, both)
        assert copies(process.databases, later) == {
            (one.id, shard_of(process.databases, one)): 1 for one in company.people
        }
        with process.databases.shard(company.postmaster.shard) as connection:
            filed = connection.execute(
                "SELECT count(*) FROM copy WHERE message_id = %s", (author_copy_id(later),)
            ).fetchone()
        assert filed == (1,)
        again = reconciled(process)
        assert again == Findings()


def test_a_shard_newer_than_the_control_database_is_told_of_and_no_number_is_used_twice(
    installation: Installation, company: Company
):
    process = installation.process
    recalled = send(process, company)
    run_all(process)
    older = installation.back_up(installation.settings.control_url)
    lost_recall = recall(process, company, recalled)
    lost_message = send(process, company)
    companies.hire(process.databases, f"late@{company.domain}")
    run_all(process)

    with installation.restored(control=older) as process:
        found = reconciled(process)
        assert found.unknown_messages == {lost_message}
        assert found.unknown_recalls == {lost_recall}

        message_id = send(process, company)
        run_all(process)
        assert message_id > lost_message
        assert len(copies(process.databases, message_id)) == PEOPLE
        assert recall(process, company, message_id) > lost_recall
        assert not copies(process.databases, message_id)
        assert not copies(process.databases, recalled)  # what was recalled does not come back


@pytest.mark.rule(13)
@pytest.mark.parametrize("delivered", [True, False])
def test_r13_what_is_prepared_for_a_forgotten_recall_is_let_go_and_its_number_is_used_by_no_other(
    installation: Installation, delivered: bool
):
    company = companies.found(installation.databases, people=PEOPLE, switches={"group_mode": "all_or_nothing"})
    process = installation.process
    message_id = send(process, company)
    if delivered:
        run_all(process)
    older = installation.back_up(installation.settings.control_url)
    asked = correspondence.ask(process.databases, company.postmaster, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.EXPAND, Task.PLAN, Task.PREPARE)

    with installation.restored(control=older) as process:
        assert prepared(process.databases) == {(asked.recall.id, 1)}
        found = reconciled(process)
        assert found.let_go == len(process.databases.shards)
        assert prepared(process.databases) == set()
        run_all(process)
        assert shown(process.databases, company, message_id) == {one.id for one in company.people}
        assert reconciled(process) == Findings()
        # R13: nothing of it decides for the next one
        next_id = recall(process, company, message_id)
        assert next_id > asked.recall.id
        check_recalled(process, next_id, message_id)


@pytest.mark.rule(12, 13)
def test_r12_what_is_prepared_for_a_forgotten_attempt_is_let_go(installation: Installation):
    company = companies.found(installation.databases, people=PEOPLE, switches={"group_mode": "all_or_nothing"})
    process = installation.process
    message_id = send(process, company)
    run_all(process)
    asked = correspondence.ask(process.databases, company.postmaster, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)
    with process.databases.control() as connection:
        late = clock.now() + timedelta(days=1)
        assert progress.give_up(connection, asked.recall.id, now=late) == len(process.databases.shards)
    run_all(process)
    older = installation.back_up(installation.settings.control_url)
    correspondence.ask(process.databases, company.postmaster, message_id)
    dispatch.run(process, Task.PREPARE)

    with installation.restored(control=older) as process:
        assert prepared(process.databases) == {(asked.recall.id, 2)}
        assert reconciled(process).let_go == len(process.databases.shards)
        assert prepared(process.databases) == set()
        assert recall(process, company, message_id) == asked.recall.id
        check_recalled(process, asked.recall.id, message_id)


def test_a_withdrawal_that_only_the_shard_knows_of_is_counted_when_the_recall_goes_on(
    installation: Installation, company: Company, monkeypatch: pytest.MonkeyPatch
):
    process = installation.process
    message_id = send(process, company)
    run_all(process)
    asked = correspondence.ask(process.databases, company.postmaster, message_id)
    assert isinstance(asked, Requested)
    older = installation.back_up(installation.settings.control_url)
    run_all(process)

    with installation.restored(control=older) as process:
        assert not reconciled(process).unknown_recalls
        run_all(process)
        check_recalled(process, asked.recall.id, message_id)


@pytest.mark.rule(26)
@pytest.mark.parametrize("mode", ["each", "all_or_nothing"])
def test_r26_what_was_undone_comes_back_to_a_shard_that_forgot_it(installation: Installation, mode: str):
    company = companies.found(installation.databases, people=PEOPLE, switches={"group_mode": mode})
    process = installation.process
    message_id = send(process, company)
    run_all(process)
    recall_id = recall(process, company, message_id)
    older = installation.back_up(installation.settings.shard_urls[0])
    undo(process, company, recall_id)
    check_undone(process, company, recall_id, message_id)

    with installation.restored(shards={0: older}) as process:
        assert len(copies(process.databases, message_id)) < PEOPLE, "the backup must be from before the undo"
        found = reconciled(process)
        assert (found.restored_again, found.withdrawn_again) == (1, 0)
        run_all(process)
        check_undone(process, company, recall_id, message_id)
        assert reconciled(process) == Findings()
        # R12: and is recalled anew, by another recall
        second_id = recall(process, company, message_id)
        assert second_id != recall_id
        check_recalled(process, second_id, message_id)


@pytest.mark.rule(12, 26)
def test_r26_what_was_recalled_anew_after_an_undo_goes_once_that_is_made_up_for(
    installation: Installation, company: Company
):
    process = installation.process
    message_id = send(process, company)
    run_all(process)
    recall_id = recall(process, company, message_id)
    older = installation.back_up(installation.settings.shard_urls[0])
    undo(process, company, recall_id)
    second_id = recall(process, company, message_id)

    with installation.restored(shards={0: older}) as process:
        found = reconciled(process)
        assert (found.restored_again, found.withdrawn_again) == (1, 1)
        for todo in open_work(process.databases):
            if todo.task == Task.WITHDRAW:
                run_one(process, todo)  # too early: there is nothing to take yet
        run_all(process)
        check_recalled(process, second_id, message_id)
        assert reconciled(process) == Findings()


@pytest.mark.rule(13, 26)
@pytest.mark.parametrize("delivered", [True, False])
def test_r13_r26_what_a_shard_had_only_prepared_is_there_after_its_undo(installation: Installation, delivered: bool):
    company = companies.found(installation.databases, people=PEOPLE, switches={"group_mode": "all_or_nothing"})
    process = installation.process
    message_id = send(process, company)
    if delivered:
        run_all(process)
    asked = correspondence.ask(process.databases, company.postmaster, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.EXPAND, Task.PLAN, Task.PREPARE)
    older = installation.back_up(installation.settings.shard_urls[0])
    run_all(process)
    undo(process, company, asked.recall.id)

    with installation.restored(shards={0: older}) as process:
        assert len(shown(process.databases, company, message_id)) < PEOPLE, "the decision must hide what is prepared"
        found = reconciled(process)
        assert (found.restored_again, found.withdrawn_again) == (1, 1)
        run_all(process)
        check_undone(process, company, asked.recall.id, message_id)
        assert reconciled(process) == Findings()


def test_backups_from_before_and_after_a_move_are_refused(installation: Installation, company: Company):
    process = installation.process
    older_shard = installation.back_up(installation.settings.shard_urls[1])
    older_control = installation.back_up(installation.settings.control_url)
    movers = [one for one in company.people if one.shard == 0]
    move(installation.settings, process.databases, movers, 1)
    with (
        installation.restored(shards={1: older_shard}) as process,
        pytest.raises(ShardError, match="restore the shard to a later moment"),
    ):
        reconciled(process)
    with (
        installation.restored(control=older_control) as process,
        pytest.raises(ShardError, match="restore the control database to a later moment"),
    ):
        reconciled(process)


def test_content_that_is_nowhere_is_said_to_be_lost(installation: Installation, company: Company):
    process = installation.process
    older = {number: installation.back_up(url) for number, url in enumerate(installation.settings.shard_urls)}
    message_id = send(process, company)
    run_all(process)
    with installation.restored(shards=older) as process:
        assert reconciled(process).lost_messages == {message_id}
        with psycopg.connect(process.settings.control_url) as connection:
            row = connection.execute("SELECT count(*) FROM outbox WHERE task = 'delivery.deposit'").fetchone()
        assert row == (0,)
