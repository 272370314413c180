"""R26: what is purged of a recall whose mailboxes moved from shard to shard: everything, wherever it was left."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from mailrecall import clock
from mailrecall.directory import accounts, holds
from mailrecall.domain.addresses import Address
from mailrecall.domain.copies import Fact, author_copy_id
from mailrecall.domain.recalls import Requester
from mailrecall.domain.trail import OPERATOR
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import undoing, views
from mailrecall.recalls.requests import Requested
from mailrecall.recalls.views import RecallView
from mailrecall.settings import REMOVED_SHARD, Settings
from mailrecall.shards import moving
from mailrecall.wiring import Process
from services.recall.purging import purge
from tests import company as companies
from tests import correspondence, dispatch
from tests.moving import Mail, move, open_work, run_all, shard_of, spread
from tests.servers import Servers

LEDGERS = ("outcome", "withdrawal", "restoration", "withdrawn_duplicate")


@pytest.fixture(scope="module")
def settings(servers: Servers) -> Iterator[Settings]:
    with servers.fresh_settings(shards=3, batch_size=2) as settings:
        yield settings


@pytest.fixture(scope="module")
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings, databases)


@pytest.fixture
def mail(process: Process[Settings]) -> Mail:
    """A message to six people on three shards; no earlier recall waits to be purged."""
    purge(process, now=clock.now() + timedelta(days=30))
    company = companies.found(process.databases, people=6)
    company = replace(company, people=spread(process.databases, company.people))
    message_id = correspondence.send(process.databases, company.postmaster, *company.people)
    run_all(process)
    return Mail(company, message_id)


def recalled(process: Process[Settings], mail: Mail) -> RecallView:
    view = correspondence.recalled(process, mail.sender, mail.message_id)
    with process.databases.control() as connection:
        # as far as the purge looks at it, the report is written
        connection.execute("DELETE FROM outbox WHERE task = 'reports.summarise'")
    return view


def over(databases: Databases, view: RecallView) -> datetime:
    """Return a moment after the end of a recall's retention."""
    with databases.control() as connection:
        row = connection.execute("SELECT settled_at FROM recall WHERE id = %s", (view.id,)).fetchone()
    assert row is not None
    settled_at: datetime = row[0]
    return settled_at + timedelta(days=7, seconds=1)


def ledger_rows(databases: Databases, view: RecallView) -> dict[int, int]:
    """Count what each shard keeps of a recall."""
    found = {}
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            found[shard] = sum(
                len(connection.execute(f"SELECT FROM {table} WHERE recall_id = %s".encode(), (view.id,)).fetchall())
                for table in LEDGERS
            )
    return {shard: rows for shard, rows in found.items() if rows}


def with_content(databases: Databases, message_id: int) -> list[int]:
    return _shards_with(databases, "body", message_id)


def listing(databases: Databases, *message_ids: int) -> list[int]:
    return _shards_with(databases, "message", *message_ids)


def _shards_with(databases: Databases, table: str, *ids: int) -> list[int]:
    found = []
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            if connection.execute(f"SELECT FROM {table} WHERE id = ANY (%s)".encode(), (list(ids),)).rowcount:
                found.append(shard)
    return found


@pytest.mark.rule(26)
@pytest.mark.parametrize("recalled_first", [True, False], ids=["recalled, then moved", "moved, then recalled"])
def test_r26_what_mailboxes_left_behind_goes_too(process: Process[Settings], mail: Mail, recalled_first: bool):
    settings, databases = process.settings, process.databases
    everybody = [mail.sender, *mail.members]
    if not recalled_first:
        move(settings, databases, everybody, 2)
    view = recalled(process, mail)
    if recalled_first:
        move(settings, databases, everybody, 2)
    assert with_content(databases, mail.message_id) == [0, 1, 2]

    purge(process, now=over(databases, view))

    assert ledger_rows(databases, view) == {}
    assert listing(databases, mail.message_id) == []
    # the author's copy in Sent still needs it, on the shard that its mailbox has moved to and on no other
    assert listing(databases, author_copy_id(mail.message_id)) == [2]
    assert with_content(databases, mail.message_id) == [2]


@pytest.mark.rule(26)
def test_r26_what_an_abandoned_move_left_behind_goes_too(process: Process[Settings], mail: Mail):
    settings, databases = process.settings, process.databases
    move(settings, databases, mail.on(databases, 1), 2)
    with databases.shard(1) as connection:
        # as if nobody there had ever had it
        connection.execute("DELETE FROM message WHERE id = %s", (mail.message_id,))
        connection.execute("DELETE FROM body WHERE id = %s", (mail.message_id,))
    move(settings, databases, mail.on(databases, 2), 1, until="bodies_sent")
    assert moving.end_interrupted(settings, databases, now=clock.now()) == 1
    assert with_content(databases, mail.message_id) == [0, 1, 2]
    view = recalled(process, mail)

    purge(process, now=over(databases, view))

    assert ledger_rows(databases, view) == {}
    assert with_content(databases, mail.message_id) == [mail.sender.shard]


class Moving(Databases):
    """Databases under which mailboxes move from the last shard to the first while a purge is between the two."""

    def __init__(self, settings: Settings, mail: Mail) -> None:
        super().__init__(settings, "tests-moving")
        self._mail = mail
        self._visited: Sequence[int] = ()

    @contextmanager
    def shard(self, number: int) -> Iterator:  # type: ignore[type-arg]
        if number == 2 and 2 not in self._visited:
            others = Databases(self._settings, "tests-mover")
            move(self._settings, others, self._mail.on(others, 2), 0)
            others.close()
        self._visited = (*self._visited, number)
        with super().shard(number) as connection:
            yield connection


@pytest.mark.rule(26)
def test_r26_a_purge_that_meets_moving_mailboxes_comes_again(process: Process[Settings], mail: Mail):
    settings, databases = process.settings, process.databases
    view = recalled(process, mail)
    moment = over(databases, view)
    meeting = Moving(settings, mail)
    purge(Process(settings, meeting), now=moment)
    meeting.close()
    assert list(ledger_rows(databases, view)) == [0], "they were carried to where the purge had been"

    purge(process, now=moment)

    assert ledger_rows(databases, view) == {}


@pytest.mark.rule(26)
def test_r26_a_shard_that_was_drained_and_removed_is_not_asked(process: Process[Settings], mail: Mail):
    settings, databases = process.settings, process.databases
    view = recalled(process, mail)
    move(settings, databases, [mail.sender, *mail.members], 1)
    urls = (settings.shard_urls[0], settings.shard_urls[1], REMOVED_SHARD)
    fewer = Databases(settings.model_copy(update={"shard_urls": urls}), "tests-fewer")
    moment = over(databases, view)
    purge(Process(fewer._settings, fewer), now=moment)
    fewer.close()
    with databases.control() as connection:
        row = connection.execute("SELECT purge_due_at FROM recall WHERE id = %s", (view.id,)).fetchone()
    assert row == (None,)
    assert set(ledger_rows(databases, view)) <= {2}


@pytest.mark.rule(12, 26)
@pytest.mark.parametrize("stay", [True, False], ids=["some stay", "nobody stays"])
def test_r12_r26_what_was_put_back_and_purged_is_recalled_again_though_one_moved_who_never_got_it(
    process: Process[Settings], settings: Settings, stay: bool
):
    databases = process.databases
    purge(process, now=clock.now() + timedelta(days=30))
    firm = companies.found(databases, people=6)
    people = spread(databases, firm.people)
    here = [one for one in people if one.shard == 0]
    leavers = here[:1] if stay else here
    message_id = correspondence.send(databases, firm.postmaster, *people)
    dispatch.run(process, Task.EXPAND)
    for leaver in leavers:
        accounts.close_account(databases, Address.parse(leaver.address), now=clock.now())
    run_all(process)
    mail = Mail(firm, message_id)
    first = recalled(process, mail)
    with databases.control() as connection:
        asked = Requester(firm.postmaster.id, firm.organisation_id, administrator=True)
        assert isinstance(undoing.request(connection, asked, first.public_id, None, now=clock.now()), undoing.Undoing)
    run_all(process)
    purge(process, now=over(databases, first))
    assert not ledger_rows(databases, first)
    move(settings, databases, leavers, 1)

    asked_again = correspondence.ask(databases, firm.postmaster, message_id)
    assert isinstance(asked_again, Requested)
    run_all(process)

    with databases.control() as connection:
        before, second = views.get(connection, first.id), views.get(connection, asked_again.recall.id)
    assert before is not None
    assert second is not None
    assert second.id != first.id
    assert second.tally.as_slugs() == {"recalled": 6 - len(leavers), "gone": len(leavers)}
    assert before.tally == first.tally


def undone(process: Process[Settings], mail: Mail, view: RecallView) -> None:
    with process.databases.control() as connection:
        asked = Requester(mail.sender.id, mail.company.organisation_id, administrator=True)
        assert isinstance(undoing.request(connection, asked, view.public_id, None, now=clock.now()), undoing.Undoing)
    run_all(process)


def tally(databases: Databases, view: RecallView) -> dict[str, int]:
    with databases.control() as connection:
        found = views.get(connection, view.id)
    assert found is not None
    return found.tally.as_slugs()


@pytest.mark.rule(9, 26)
@pytest.mark.parametrize("stay", [True, False], ids=["one stays", "both move"])
@pytest.mark.parametrize("put_back", [False, True], ids=["recalled", "undone"])
@pytest.mark.parametrize("until", [None, "leaving", "gone"], ids=["purged, moved", "not left", "left, purged"])
def test_r9_r26_a_mailbox_moves_with_the_copy_that_a_purged_recall_left_it(
    process: Process[Settings], mail: Mail, stay: bool, put_back: bool, until: str | None
):
    settings, databases = process.settings, process.databases
    reader, other = mail.on(databases, 0)
    correspondence.happen(databases, reader, mail.message_id, Fact.READ)
    view = recalled(process, mail)
    if put_back:
        undone(process, mail, view)
    leaving = [reader] if stay else [reader, other]
    if until:
        move(settings, databases, leaving, 1, until=until)

    purge(process, now=over(databases, view))
    assert not ledger_rows(databases, view)
    if until:
        assert moving.end_interrupted(settings, databases, now=clock.now()) == 1
    move(settings, databases, leaving, 1)

    assert {shard_of(databases, one) for one in leaving} == {1}
    assert moving.end_interrupted(settings, databases, now=clock.now()) == 0
    assert tally(databases, view) == {"recalled": 5, "already_read": 1}
    # once more, with what the division has written
    move(settings, databases, [reader, other], 2)
    assert tally(databases, view) == {"recalled": 5, "already_read": 1}
    assert not open_work(databases)


@pytest.mark.rule(9, 26)
@pytest.mark.parametrize("until", [None, "gone"], ids=["purged, then moved", "left, then purged"])
@pytest.mark.parametrize("held", ["leaves", "stays"])
def test_r9_r26_what_a_legal_hold_keeps_of_a_purged_batch_moves_and_its_counts_come_along(
    process: Process[Settings], mail: Mail, held: str, until: str | None
):
    settings, databases = process.settings, process.databases
    leaver, stayer = mail.on(databases, 0)
    holder = leaver if held == "leaves" else stayer
    correspondence.happen(databases, leaver, mail.message_id, Fact.READ)
    view = recalled(process, mail)
    with databases.control() as connection:
        assert holds.place(connection, holder, "a lawsuit", actor=OPERATOR, now=clock.now())
    if until:
        move(settings, databases, [leaver], 1, until=until)

    purge(process, now=over(databases, view))
    moving.end_interrupted(settings, databases, now=clock.now())
    move(settings, databases, [leaver], 1)
    assert tally(databases, view) == {"recalled": 5, "already_read": 1}
    move(settings, databases, [leaver, stayer], 2)

    assert tally(databases, view) == {"recalled": 5, "already_read": 1}
    assert ledger_rows(databases, view)
