"""Databases that are backed up and restored with PostgreSQL's own programs, and what is to be so afterwards."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mailrecall import clock
from mailrecall.backups.reconciling import Findings, reconcile
from mailrecall.domain.copies import PREPARED
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Requester, State, Verdict
from mailrecall.domain.undo import UndoState
from mailrecall.embedded import postgres
from mailrecall.mailstore import reading
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import decisions, undoing, views
from mailrecall.recalls.decisions import Attempt
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import correspondence
from tests.company import Company
from tests.moving import copies, run_all
from tests.servers import Servers

ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)
PEOPLE = 6


@dataclass(slots=True)
class Installation:
    """A control database and two shards, whose backups are made and restored with PostgreSQL's own programs."""

    servers: Servers
    settings: Settings
    databases: Databases
    folder: Path

    @property
    def process(self) -> Process[Settings]:
        return Process(self.settings, self.databases)

    def back_up(self, url: str) -> Path:
        path = self.folder / secrets.token_hex(8)
        _program("pg_dump", "--format=custom", f"--file={path}", f"--dbname={url}")
        return path

    @contextmanager
    def restored(
        self, *, control: Path | None = None, shards: dict[int, Path] | None = None
    ) -> Iterator[Process[Settings]]:
        """Put backups in the place of databases; the others are as they are."""
        names: list[str] = []

        def restore(path: Path) -> str:
            names.append(f"restored_{secrets.token_hex(6)}")
            url = self.servers.create_database(names[-1])
            _program("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={url}", str(path))
            return url

        urls = list(self.settings.shard_urls)
        for number, path in (shards or {}).items():
            urls[number] = restore(path)
        control_url = restore(control) if control else self.settings.control_url
        settings = self.settings.model_copy(update={"control_url": control_url, "shard_urls": tuple(urls)})
        databases = Databases(settings, "tests")
        try:
            yield Process(settings, databases)
        finally:
            databases.close()
            self.servers.drop_databases(names)


def _program(name: str, *arguments: str) -> None:
    program = postgres.programs() / name
    subprocess.run([str(program), *arguments], check=True, env=dict(os.environ), capture_output=True)


@contextmanager
def installed(servers: Servers, folder: Path, **settings: Any) -> Iterator[Installation]:
    """Give databases of their own until the block ends; `settings` are other than those of all tests."""
    with servers.fresh_settings(**settings) as changed:
        databases = Databases(changed, "tests")
        yield Installation(servers, changed, databases, folder)
        databases.close()


def send(process: Process[Settings], company: Company) -> int:
    return correspondence.send(process.databases, company.postmaster, *company.people)


def recall(process: Process[Settings], company: Company, message_id: int) -> int:
    asked = correspondence.ask(process.databases, company.postmaster, message_id)
    assert isinstance(asked, Requested)
    run_all(process)
    return asked.recall.id


def undo(process: Process[Settings], company: Company, recall_id: int) -> None:
    with process.databases.control() as connection:
        view = views.get(connection, recall_id)
        assert view is not None
        postmaster = company.postmaster
        requester = Requester(postmaster.id, postmaster.organisation_id, postmaster.administrator)
        asked = undoing.request(connection, requester, view.public_id, None, now=clock.now())
    assert isinstance(asked, undoing.Undoing)
    run_all(process)


def reconciled(process: Process[Settings]) -> Findings:
    return reconcile(process.databases, since=ALWAYS, deadline=timedelta(hours=1), now=clock.now())


def check_recalled(process: Process[Settings], recall_id: int, message_id: int) -> None:
    with process.databases.control() as connection:
        view = views.get(connection, recall_id)
    assert view is not None
    assert view.state is State.SETTLED
    assert view.tally[Outcome.RECALLED] == view.tally.total == view.recipients == PEOPLE
    assert correspondence.ledger(process.databases, recall_id).counts == {Outcome.RECALLED: PEOPLE}
    assert not copies(process.databases, message_id)


def prepared(databases: Databases) -> set[tuple[int, int]]:
    """Recalls, and their attempts, for whose decision copies wait on some shard."""
    found: set[tuple[int, int]] = set()
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            found |= set(connection.execute("SELECT recall_id, attempt FROM prepared").fetchall())
            marked = connection.execute(
                "SELECT EXISTS (SELECT FROM copy WHERE facts & %s <> 0)", (PREPARED,)
            ).fetchone()
            assert not (marked and marked[0] and not found), "marks that wait for nothing"
    return found


def shown(databases: Databases, company: Company, message_id: int) -> set[int]:
    """Those who see a message in their mailbox."""
    found = set()
    for one in company.people:
        with databases.shard(one.shard) as connection:
            if reading.find(connection, one.id, message_id) is not None:
                found.add(one.id)
    return found


def check_undone(process: Process[Settings], company: Company, recall_id: int, message_id: int) -> None:
    with process.databases.control() as connection:
        found = undoing.find(connection, recall_id)
    assert found is not None
    assert (found.state, found.restored) == (UndoState.RESTORED, PEOPLE)
    assert shown(process.databases, company, message_id) == {one.id for one in company.people}


def ask(process: Process[Settings], company: Company, message_id: int) -> int:
    asked = correspondence.ask(process.databases, company.postmaster, message_id)
    assert isinstance(asked, Requested)
    return asked.recall.id


def verdict(process: Process[Settings], recall_id: int, attempt: int = 1) -> Verdict | None:
    wanted = Attempt(recall_id, attempt)
    with process.databases.control() as connection:
        return decisions.find(connection, [wanted]).get(wanted)


def check_all_stay(process: Process[Settings], company: Company, recall_id: int, message_id: int) -> None:
    assert verdict(process, recall_id) is Verdict.RELEASE
    with process.databases.control() as connection:
        view = views.get(connection, recall_id)
    assert view is not None
    assert view.state is State.SETTLED
    expected = {Outcome.VETOED: PEOPLE - 1, Outcome.ALREADY_READ: 1}
    assert dict(view.tally.counts) == correspondence.ledger(process.databases, recall_id).counts == expected
    assert shown(process.databases, company, message_id) == {one.id for one in company.people}
    assert prepared(process.databases) == set()
    assert reconciled(process) == Findings()
