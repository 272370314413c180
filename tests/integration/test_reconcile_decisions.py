"""R13: decisions that the control database forgot, as after a failover that lost commits: the shards tell of them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailrecall import clock
from mailrecall.backups.reconciling import Findings
from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Verdict
from mailrecall.outbox.work import Task
from mailrecall.recalls import decisions, progress
from mailrecall.recalls.decisions import Attempt
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company as companies
from tests import correspondence, dispatch
from tests.company import Company
from tests.moving import copies, open_work, run_all, run_one
from tests.restoring import (
    PEOPLE,
    Installation,
    ask,
    check_all_stay,
    check_recalled,
    check_undone,
    installed,
    prepared,
    recall,
    reconciled,
    send,
    undo,
    verdict,
)
from tests.servers import Servers


@pytest.fixture
def installation(servers: Servers, tmp_path: Path) -> Iterator[Installation]:
    with installed(servers, tmp_path, batch_size=2) as installation:
        yield installation


@pytest.fixture
def company(installation: Installation) -> Company:
    return companies.found(installation.databases, people=PEOPLE, switches={"group_mode": "all_or_nothing"})


def carry_out_one(process: Process[Settings]) -> None:
    """The decision reaches one batch; all others are prepared when the commits are lost."""
    dispatch.run(process, Task.PREPARE)
    assert run_one(process, next(todo for todo in open_work(process.databases) if todo.task == Task.WITHDRAW))


Carry = Callable[[Process[Settings]], None]
HOW_FAR = pytest.mark.parametrize("carry_out", [carry_out_one, run_all], ids=["one batch", "all"])


@pytest.mark.rule(9, 13, 16, 26)
@pytest.mark.parametrize("reconciles", [True, False], ids=["reconciled", "gone on at once"])
@pytest.mark.parametrize("delivered", [True, False], ids=["delivered, planned", "on its way, asked for"])
@HOW_FAR
def test_r13_what_a_shard_carried_out_of_a_forgotten_decision_all_others_do(
    installation: Installation, company: Company, carry_out: Carry, delivered: bool, reconciles: bool
):
    process = installation.process
    message_id = send(process, company)
    dispatch.run(process, Task.EXPAND)
    if delivered:
        run_all(process)
    recall_id = ask(process, company, message_id)
    if delivered:
        dispatch.run(process, Task.PLAN)
    older = installation.back_up(installation.settings.control_url)
    dispatch.run(process, Task.PLAN)
    carry_out(process)

    with installation.restored(control=older) as process:
        assert verdict(process, recall_id) is None, "the backup must be from before the decision"
        if reconciles:
            assert reconciled(process).decided_again == 1
            assert verdict(process, recall_id) is Verdict.COMMIT
        run_all(process)
        check_recalled(process, recall_id, message_id)
        assert prepared(process.databases) == set()
        assert reconciled(process) == Findings()
        undo(process, company, recall_id)
        check_undone(process, company, recall_id, message_id)


@pytest.mark.rule(1, 13)
def test_r13_a_batch_of_people_out_of_scope_neither_tells_of_a_decision_nor_holds_it_up(
    installation: Installation, company: Company
):
    process = installation.process
    strangers = companies.found(process.databases, people=PEOPLE).people
    message_id = correspondence.send(process.databases, company.postmaster, *company.people, *strangers)
    run_all(process)
    recall_id = ask(process, company, message_id)
    dispatch.run(process, Task.PLAN)
    older = installation.back_up(installation.settings.control_url)
    dispatch.run(process, Task.PREPARE)
    last = open_work(process.databases)[-1]
    assert run_one(process, last)
    with process.databases.shard(last.args["shard"]) as connection:
        done = connection.execute("SELECT counts FROM withdrawal").fetchall()
    assert len(done) == 1
    assert {slug for via in done[0][0].values() for slug in via} == {"external"}

    with installation.restored(control=older) as process:
        assert reconciled(process) == Findings()
        run_all(process)
        assert verdict(process, recall_id) is Verdict.COMMIT
        ledger = correspondence.ledger(process.databases, recall_id)
        assert ledger.counts == {Outcome.RECALLED: PEOPLE, Outcome.EXTERNAL: PEOPLE}
        assert prepared(process.databases) == set()


@pytest.mark.rule(1, 13)
def test_r13_a_batch_of_people_out_of_scope_hides_no_release_that_another_tells_of(
    installation: Installation, company: Company
):
    process = installation.process
    strangers = companies.found(process.databases, people=2).people
    with process.databases.control() as connection:
        for shard, those in enumerate((strangers, company.people)):
            connection.execute("UPDATE account SET shard = %s WHERE id = ANY (%s)", (shard, [one.id for one in those]))
    people = [replace(one, shard=1) for one in company.people]
    message_id = correspondence.send(process.databases, company.postmaster, *people, *strangers)
    run_all(process)
    recall_id = ask(process, company, message_id)
    dispatch.run(process, Task.PLAN)
    todo = open_work(process.databases)
    (outside,) = [one for one in todo if one.args["shard"] == 0]
    assert all(run_one(process, one) for one in todo if one != outside)
    older = installation.back_up(installation.settings.control_url)
    with process.databases.control() as connection:
        decisions.decide(connection, Attempt(recall_id, 1), Verdict.RELEASE, now=clock.now())
    inside = min(one.args["batch"] for one in todo if one != outside)
    for one in open_work(process.databases):
        if one.task == Task.WITHDRAW and one.args["batch"] in (outside.args["batch"], inside):
            assert run_one(process, one)

    with installation.restored(control=older) as process:
        assert reconciled(process).decided_again == 1
        assert verdict(process, recall_id) is Verdict.RELEASE
        run_all(process)
        counts = correspondence.ledger(process.databases, recall_id).counts
        assert counts == {Outcome.VETOED: PEOPLE, Outcome.EXTERNAL: len(strangers)}
        assert len(copies(process.databases, message_id)) == PEOPLE + len(strangers)
        assert prepared(process.databases) == set()
        assert reconciled(process) == Findings()


@pytest.mark.rule(12, 13)
@HOW_FAR
def test_r12_r13_a_forgotten_attempt_is_carried_out_as_that_attempt(
    installation: Installation, company: Company, carry_out: Carry
):
    process = installation.process
    message_id = send(process, company)
    run_all(process)
    recall_id = ask(process, company, message_id)
    dispatch.run(process, Task.PLAN)
    with process.databases.control() as connection:
        assert progress.give_up(connection, recall_id, now=clock.now() + timedelta(days=1))
    run_all(process)
    older = installation.back_up(installation.settings.control_url)
    assert ask(process, company, message_id) == recall_id
    carry_out(process)

    with installation.restored(control=older) as process:
        assert reconciled(process).decided_again == 1
        assert (verdict(process, recall_id), verdict(process, recall_id, 2)) == (Verdict.RELEASE, Verdict.COMMIT)
        run_all(process)
        check_recalled(process, recall_id, message_id)
        assert prepared(process.databases) == set()
        assert reconciled(process) == Findings()


@pytest.mark.rule(9, 13)
@pytest.mark.parametrize("reconciles", [True, False], ids=["reconciled", "gone on at once"])
@HOW_FAR
def test_r13_what_a_shard_released_stays_everywhere(
    installation: Installation, company: Company, carry_out: Carry, reconciles: bool
):
    process = installation.process
    message_id = send(process, company)
    run_all(process)
    correspondence.happen(process.databases, company.people[-1], message_id, Fact.READ)
    recall_id = ask(process, company, message_id)
    dispatch.run(process, Task.PLAN)
    older = installation.back_up(installation.settings.control_url)
    carry_out(process)

    with installation.restored(control=older) as process:
        if reconciles:
            assert reconciled(process).decided_again == 1
        run_all(process)
        check_all_stay(process, company, recall_id, message_id)


@pytest.mark.rule(26)
@pytest.mark.parametrize("mode", ["each", "all_or_nothing"])
def test_r26_an_undo_that_only_the_shards_know_of_is_said_and_can_be_asked_for_again(
    installation: Installation, mode: str
):
    company = companies.found(installation.databases, people=PEOPLE, switches={"group_mode": mode})
    process = installation.process
    message_id = send(process, company)
    run_all(process)
    recall_id = recall(process, company, message_id)
    older = installation.back_up(installation.settings.control_url)
    undo(process, company, recall_id)

    with installation.restored(control=older) as process:
        found = reconciled(process)
        assert (found.unknown_undos, found.unknown_recalls) == ({recall_id}, set())
        assert len(copies(process.databases, message_id)) == PEOPLE
        undo(process, company, recall_id)
        check_undone(process, company, recall_id, message_id)
        assert reconciled(process) == Findings()
