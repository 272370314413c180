"""R13 while mailboxes move: between prepare and decide, decided and not carried out, tried again; movers die too."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import State, Verdict
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.shards import moving
from mailrecall.shards.carrying import UndecidedError
from mailrecall.wiring import Process
from services.recall.reconciling import reconcile
from tests import correspondence, dispatch
from tests.moving import Killed, copies, move, open_work, run_all, run_one, shard_of
from tests.servers import Servers
from tests.undertaking import Undertaking


@pytest.fixture(scope="module")
def settings(servers: Servers) -> Iterator[Settings]:
    with servers.fresh_settings(shards=2, batch_size=2) as settings:
        yield settings


@pytest.fixture(scope="module")
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings, databases)


def steps(undertaking: Undertaking, task: Task, *, all_but: int = 0) -> None:
    """Run open work of a kind, but for the last so many."""
    todo = [one for one in open_work(undertaking.databases) if one.task == task]
    for one in todo[: len(todo) - all_but]:
        run_one(undertaking.process, one)


def asked(undertaking: Undertaking) -> None:
    undertaking.ask()


def planned(undertaking: Undertaking) -> None:
    asked(undertaking)
    steps(undertaking, Task.EXPAND)
    steps(undertaking, Task.PLAN)


def half_prepared(undertaking: Undertaking) -> None:
    planned(undertaking)
    steps(undertaking, Task.PREPARE, all_but=1)


def decided(undertaking: Undertaking) -> None:
    planned(undertaking)
    steps(undertaking, Task.PREPARE)


def half_carried_out(undertaking: Undertaking) -> None:
    decided(undertaking)
    steps(undertaking, Task.WITHDRAW, all_but=1)


STAGES: Sequence[Callable[[Undertaking], None]] = (asked, planned, half_prepared, decided, half_carried_out)


def try_to_move(undertaking: Undertaking, people: Sequence[Account], *, until: str | None) -> None:
    """Swap the shards of mailboxes, as far as their copies may move."""
    for shard in (0, 1):
        leaving = [one for one in people if one.shard == shard]
        with suppress(UndecidedError):
            move(undertaking.process.settings, undertaking.databases, leaving, 1 - shard, until=until)


def check(undertaking: Undertaking, *, stays: bool) -> None:
    """Compare copies, ledger and counts: all went, or all are there."""
    databases = undertaking.databases
    view, ledger = undertaking.view, undertaking.outcomes
    everybody = {one.id for one in undertaking.others}
    assert view.state is State.SETTLED
    assert sorted(mailbox for mailbox, _ in ledger.rows) == sorted(everybody)
    assert (ledger.counts[Outcome.RECALLED] == 0) == stays
    assert stays or ledger.counts == {Outcome.RECALLED: len(everybody)}
    assert dict(view.tally.counts) == dict(ledger.counts)
    there = {(one.id, shard_of(databases, one)): 1 for one in undertaking.others if stays}
    assert copies(databases, undertaking.message_id) == there
    assert undertaking.marked() == set()
    assert undertaking.left_over() == 0
    assert open_work(databases) == []


@pytest.mark.rule(13, 16)
@pytest.mark.parametrize("until", [None, "carried", "gone", "arrived"])
@pytest.mark.parametrize("delivered", [True, False], ids=["delivered", "on its way"])
@pytest.mark.parametrize("stage", STAGES, ids=[stage.__name__ for stage in STAGES])
def test_r13_r16_all_go_whenever_mailboxes_move(process: Process[Settings], stage, delivered: bool, until: str | None):
    undertaking = Undertaking(process, delivered=delivered)
    stage(undertaking)
    try_to_move(undertaking, undertaking.others[::2], until=until)
    run_all(process)
    check(undertaking, stays=False)
    # nothing keeps the mailboxes now
    move(process.settings, process.databases, undertaking.others, 0)
    check(undertaking, stays=False)


@pytest.mark.rule(13)
@pytest.mark.parametrize("until", [None, "begun"])
@pytest.mark.parametrize("stage", STAGES, ids=[stage.__name__ for stage in STAGES])
def test_r13_all_stay_whenever_mailboxes_move(process: Process[Settings], stage, until: str | None):
    undertaking = Undertaking(process)
    correspondence.happen(process.databases, undertaking.others[-1], undertaking.message_id, Fact.READ)
    stage(undertaking)
    try_to_move(undertaking, undertaking.others[::2], until=until)
    run_all(process)
    check(undertaking, stays=True)
    move(process.settings, process.databases, undertaking.others, 0)
    check(undertaking, stays=True)


@pytest.mark.rule(13, 16)
@pytest.mark.parametrize("until", [None, "carried", "gone"])
@pytest.mark.parametrize("decided_first", [True, False], ids=["released, then moved", "moved, then released"])
@pytest.mark.parametrize("stage", [planned, half_prepared], ids=["planned", "half_prepared"])
def test_r13_r16_what_was_on_its_way_arrives_after_all_at_its_new_place(
    process: Process[Settings], stage, decided_first: bool, until: str | None
):
    undertaking = Undertaking(process, delivered=False)
    stage(undertaking)
    if decided_first:
        assert undertaking.decide(Verdict.RELEASE) is Verdict.RELEASE
    try_to_move(undertaking, undertaking.others[::2], until=until)
    if not decided_first:
        assert undertaking.decide(Verdict.RELEASE) is Verdict.RELEASE
    run_all(process)
    check(undertaking, stays=True)


def released_for_a_silent_shard(process: Process[Settings]) -> Undertaking:
    """A recall that shard 1 did not answer before the deadline; there, nothing is known of its end."""
    undertaking = Undertaking(process)
    start = clock.now()
    undertaking.ask(now=start, deadline=timedelta(minutes=1))
    dispatch.run(process, Task.PLAN)
    undertaking.silence(1)
    dispatch.run(process)
    reconcile(process, now=start + timedelta(minutes=1, seconds=process.settings.statement_timeout + 1))
    with process.databases.control() as connection:
        connection.execute("DELETE FROM outbox WHERE args ->> 'shard' = '1'")
    dispatch.run(process, now=clock.now() + timedelta(minutes=3))
    assert undertaking.view.state is State.SETTLED
    return undertaking


@pytest.mark.rule(12, 13)
@pytest.mark.parametrize("step", ["taken", "carried", "leaving", "left", "gone", "arrived"])
@pytest.mark.parametrize("dies", [False, True], ids=["goes on", "dies"])
def test_r12_r13_a_recall_that_is_tried_again_while_its_mailboxes_move(
    process: Process[Settings], databases: Databases, step: str, dies: bool
):
    undertaking = released_for_a_silent_shard(process)
    assert undertaking.verdict() is Verdict.RELEASE

    def reached(now_at: str) -> None:
        if now_at == step:
            assert isinstance(correspondence.ask(databases, undertaking.sender, undertaking.message_id), Requested)
            assert undertaking.view.state is State.RUNNING
            if dies:
                raise Killed

    with suppress(Killed, UndecidedError), moving.mover(process.settings, databases, reached) as mover:
        mover.move(1, 0, [one.id for one in undertaking.on(1)], now=clock.now())
    run_all(process)

    assert undertaking.verdict(2) is Verdict.COMMIT
    check(undertaking, stays=False)
