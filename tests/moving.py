"""Moves of mailboxes for tests: whole ones, and ones that end in the middle as if the process had been killed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg

from mailrecall import clock
from mailrecall.directory.lookup import Account, account_by_id
from mailrecall.mailstore.residence import Residence
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.shards import moving
from mailrecall.wiring import Process
from tests import dispatch
from tests.company import Company


class Killed(BaseException):
    """The mover ends here; nobody catches this to tidy up."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A message from a company's postmaster to all its people."""

    company: Company
    message_id: int

    @property
    def sender(self) -> Account:
        return self.company.postmaster

    @property
    def members(self) -> tuple[Account, ...]:
        return self.company.people

    def on(self, databases: Databases, shard: int) -> list[Account]:
        return [one for one in self.members if shard_of(databases, one) == shard]


def spread(databases: Databases, people: Sequence[Account]) -> tuple[Account, ...]:
    """Put mailboxes in which nothing lies yet on all shards in turn."""
    with databases.control() as connection:
        for number, one in enumerate(people):
            connection.execute("UPDATE account SET shard = %s WHERE id = %s", (number % 3, one.id))
    return tuple(replace(one, shard=number % 3) for number, one in enumerate(people))


def move(
    settings: Settings, databases: Databases, mailboxes: Sequence[Account], target: int, *, until: str | None = None
) -> None:
    """Move mailboxes, from wherever each is, to a shard; `until` names the step at which the mover is killed."""

    def reached(step: str) -> None:
        if step == until:
            raise Killed

    by_source: dict[int, list[int]] = {}
    for account in mailboxes:
        by_source.setdefault(shard_of(databases, account), []).append(account.id)
    for source, ids in by_source.items():
        if source == target:
            continue
        try:
            with moving.mover(settings, databases, reached) as mover:
                mover.move(source, target, ids, now=clock.now())
        except Killed:
            return


def shard_of(databases: Databases, account: Account | Residence) -> int:
    """Where the control database says that a mailbox is."""
    with databases.control() as connection:
        found = account_by_id(connection, account.id)
    assert found is not None
    return found.shard


def copies(databases: Databases, message_id: int) -> Counter[tuple[int, int]]:
    """Every copy of a message on any shard, as mailbox and shard; none may be there twice."""
    found: Counter[tuple[int, int]] = Counter()
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            rows = connection.execute(
                "SELECT mailbox_id FROM copy WHERE message_id = %s"
                " AND mailbox_id NOT IN (SELECT mailbox_id FROM absence)",
                (message_id,),
            )
            found.update((mailbox_id, shard) for (mailbox_id,) in rows)
    return found


@dataclass(frozen=True, slots=True)
class Todo:
    """An open piece of work."""

    work_id: int
    task: str
    args: dict[str, int]


def open_work(databases: Databases) -> list[Todo]:
    """What the outbox holds, whether or not it was published."""
    wanted = [str(task) for task in dispatch.USE_CASES if task != Task.RELAY]
    with databases.control() as connection:
        rows = connection.execute(
            "SELECT id, task, args FROM outbox WHERE task = ANY (%s) ORDER BY id", (wanted,)
        ).fetchall()
    return [Todo(*row) for row in rows]


def run_one(process: Process[Settings], todo: Todo) -> bool:
    """Run a piece of work as a worker does; False when it has to be tried again, as while mailboxes move."""
    try:
        dispatch.USE_CASES[todo.task](process, work_id=todo.work_id, now=clock.now(), **todo.args)
    except psycopg.OperationalError:
        return False
    return True


def run_all(process: Process[Settings]) -> None:
    """End what was interrupted, then run work until there is none."""
    moving.end_interrupted(process.settings, process.databases, now=clock.now())
    for _ in range(50):
        todo = open_work(process.databases)
        if not todo:
            return
        for one in todo:
            # a worker looks, too: what ran before it can have closed it
            if one in open_work(process.databases):
                run_one(process, one)
    raise AssertionError(f"work is never done: {open_work(process.databases)}")
