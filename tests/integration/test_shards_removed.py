"""A shard that was drained and removed: what was recalled and purged there before can still be read, and asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.directory import accounts
from mailrecall.domain.addresses import Address
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Requester
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import failures, outcomes, previews, undoing, views
from mailrecall.recalls.requests import Requested
from mailrecall.recalls.views import RecallView
from mailrecall.settings import REMOVED_SHARD, Settings
from mailrecall.shards import moving, registry
from mailrecall.shards.errors import ShardError
from mailrecall.wiring import Process
from services.recall.purging import purge
from tests import company as companies
from tests import correspondence, dispatch
from tests.moving import Mail, run_all, spread
from tests.servers import Servers

DRAINED = 2


@pytest.fixture
def settings(servers: Servers) -> Iterator[Settings]:
    with servers.fresh_settings(shards=3, batch_size=2) as settings:
        yield settings


@pytest.fixture
def databases(settings: Settings) -> Iterator[Databases]:
    databases = Databases(settings, "tests")
    yield databases
    databases.close()


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings, databases)


@pytest.fixture
def mail(databases: Databases) -> Mail:
    """A message to six people on three shards, accepted and no more."""
    company = companies.found(databases, people=6)
    company = replace(company, people=spread(databases, company.people))
    return Mail(company, correspondence.send(databases, company.postmaster, *company.people))


def recalled_and_purged(process: Process[Settings], mail: Mail, *, put_back: bool = False) -> RecallView:
    databases = process.databases
    view = correspondence.recalled(process, mail.sender, mail.message_id)
    with databases.control() as connection:
        if put_back:
            asked = Requester(mail.sender.id, mail.company.organisation_id, administrator=True)
            undo = undoing.request(connection, asked, view.public_id, None, now=clock.now())
            assert isinstance(undo, undoing.Undoing)
        # as far as the purge looks at it, the report is written
        connection.execute("UPDATE recall SET report_message_id = message_id WHERE id = %s", (view.id,))
        connection.execute("DELETE FROM outbox WHERE task = 'reports.summarise'")
    run_all(process)
    purge(process, now=clock.now() + timedelta(days=30))
    return view


def move_everybody_away(settings: Settings, databases: Databases) -> None:
    registry.close(settings, databases, DRAINED)
    with moving.mover(settings, databases) as mover:
        steps = registry.relocate(
            databases, mover, DRAINED, [0, 1], at_once=9, most=None, pause=lambda _: None, now=clock.now
        )
        assert list(steps)


@contextmanager
def removed(settings: Settings) -> Iterator[Process[Settings]]:
    """The processes after the shard's URL was taken out of the settings."""
    fewer = settings.model_copy(update={"shard_urls": (*settings.shard_urls[:DRAINED], REMOVED_SHARD)})
    databases = Databases(fewer, "tests-fewer")
    yield Process(fewer, databases)
    databases.close()


def check_readable(databases: Databases, view: RecallView) -> None:
    with databases.control() as connection:
        ledger = outcomes.locate(connection, view.id)
    page = failures.page(databases, ledger, start=failures.START, limit=10)
    assert (page.failures, page.complete) == ([], True)
    assert not list(failures.all_of(databases, ledger))
    assert len(outcomes.of_addressees(databases, ledger)) == 6


@pytest.mark.rule(11, 23, 26)
@pytest.mark.parametrize("swept", [True, False])
def test_r11_r23_r26_a_recall_that_was_purged_before_its_shard_went_is_shown(
    process: Process[Settings], settings: Settings, mail: Mail, swept: bool
):
    databases = process.databases
    run_all(process)
    view = recalled_and_purged(process, mail)
    move_everybody_away(settings, databases)
    if swept:
        assert registry.sweep(databases, DRAINED, now=clock.now()) == 1
        registry.check_empty(databases, DRAINED)
        with databases.control() as connection:
            for table in ("recall_batch", "delivery_batch"):
                assert not connection.execute(f"SELECT FROM {table} WHERE shard = {DRAINED}".encode()).fetchall()
    else:
        with pytest.raises(ShardError, match="`mailrecall shards drain 2`"):
            registry.check_empty(databases, DRAINED)

    with removed(settings) as later:
        check_readable(later.databases, view)
        with later.databases.control() as connection:
            found = views.get(connection, view.id)
    assert found is not None
    assert found.tally == view.tally


@pytest.mark.rule(9, 12, 25)
@pytest.mark.parametrize("swept", [True, False])
def test_r9_r12_r25_what_was_put_back_and_purged_before_its_shard_went_is_foreseen_and_recalled_again(
    process: Process[Settings], settings: Settings, mail: Mail, swept: bool
):
    databases = process.databases
    dispatch.run(process, Task.EXPAND)
    for leaver in mail.on(databases, DRAINED):  # they get no copy, so that none moves
        accounts.close_account(databases, Address.parse(leaver.address), now=clock.now())
    run_all(process)
    recalled_and_purged(process, mail, put_back=True)
    move_everybody_away(settings, databases)
    if swept:
        assert registry.sweep(databases, DRAINED, now=clock.now()) == 1
        registry.check_empty(databases, DRAINED)

    with removed(settings) as later:
        foreseen = previews.preview(later.databases, [mail.message_id], Policy(), now=clock.now())[mail.message_id]
        assert foreseen.unknown == 0
        assert foreseen.tally.counts == {Outcome.RECALLED: 4, Outcome.GONE: 2}
        if not swept:
            return  # `shards remove` has warned
        asked = correspondence.ask(later.databases, mail.sender, mail.message_id)
        assert isinstance(asked, Requested)
        run_all(later)
        with later.databases.control() as connection:
            second = views.get(connection, asked.recall.id)
    assert second is not None
    assert second.tally.as_slugs() == {"recalled": 4, "gone": 2}
