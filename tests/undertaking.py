"""A recall that takes everything or nothing (R13), step by step, and what is found on the shards between two steps."""

from datetime import datetime, timedelta

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import PREPARED
from mailrecall.domain.recalls import Verdict
from mailrecall.mailstore import reading
from mailrecall.outbox.work import Task
from mailrecall.recalls import decisions, views
from mailrecall.recalls.decisions import Attempt
from mailrecall.recalls.requests import Requested
from mailrecall.recalls.views import RecallView
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch
from tests.correspondence import Ledger


class Undertaking:
    """A mail to five others on two shards, and its recall."""

    def __init__(
        self, process: Process[Settings], *, people: int = 6, delivered: bool = True, **switches: object
    ) -> None:
        self.process, self.databases = process, process.databases
        self.firm = company.found(self.databases, people=people, switches={"group_mode": "all_or_nothing", **switches})
        self.sender, *self.others = self.firm.people
        self.message_id = correspondence.send(self.databases, self.sender, *self.others)
        self.id = 0
        if delivered:
            dispatch.run(process)

    def ask(self, *, now: datetime | None = None, deadline: timedelta = timedelta(hours=1)) -> "Undertaking":
        """Ask for the recall."""
        asked = correspondence.ask(self.databases, self.sender, self.message_id, now=now, deadline=deadline)
        assert isinstance(asked, Requested)
        self.id = asked.recall.id
        return self

    def prepare(self, *, all_but: int = 0) -> "Undertaking":
        """As far as the prepared copies; `all_but` so many batches, the last ones."""
        self.ask()
        dispatch.run(self.process, Task.EXPAND, Task.PLAN)
        self._postpone("id IN (SELECT id FROM outbox WHERE task = 'recall.prepare' ORDER BY id DESC LIMIT %s)", all_but)
        dispatch.run(self.process, Task.PREPARE)
        return self

    def silence(self, shard: int) -> None:
        """Let a shard not answer for as long as nothing is finished."""
        self._postpone("task LIKE 'recall.%%' AND (args ->> 'shard')::int = %s", shard)

    def _postpone(self, which: str, value: object) -> None:
        with self.databases.control() as connection:
            connection.execute(f"UPDATE outbox SET due_at = due_at + interval '1 day' WHERE {which}".encode(), (value,))

    def finish(self) -> RecallView:
        """Do everything that is left to do, whatever was put off."""
        with self.databases.control() as connection:
            connection.execute(
                "UPDATE outbox SET due_at = due_at - interval '1 day' WHERE due_at > %s",
                (clock.now() + timedelta(hours=1),),
            )
        dispatch.run(self.process)
        return self.view

    @property
    def view(self) -> RecallView:
        """The recall as it stands."""
        with self.databases.control() as connection:
            view = views.get(connection, self.id)
        assert view is not None
        return view

    def verdict(self, attempt: int = 1) -> Verdict | None:
        """How it was decided."""
        with self.databases.control() as connection:
            return decisions.find(connection, [Attempt(self.id, attempt)]).get(Attempt(self.id, attempt))

    def decide(self, verdict: Verdict) -> Verdict:
        """Decide it."""
        with self.databases.control() as connection:
            return decisions.decide(connection, Attempt(self.id, 1), verdict, now=clock.now())

    def marked(self) -> set[int]:
        """The mailboxes whose copy waits for the decision."""
        found: set[int] = set()
        for shard in self.databases.shards:
            with self.databases.shard(shard) as connection:
                rows = connection.execute(
                    "SELECT mailbox_id FROM copy WHERE message_id = %s AND facts & %s <> 0", (self.message_id, PREPARED)
                )
                found |= {mailbox_id for (mailbox_id,) in rows}
        return found

    def left_over(self) -> int:
        """How many batches wait for a decision."""
        left = 0
        for shard in self.databases.shards:
            with self.databases.shard(shard) as connection:
                left += len(connection.execute("SELECT FROM prepared WHERE recall_id = %s", (self.id,)).fetchall())
        return left

    def with_copy(self) -> list[Account]:
        """Those whose copy's row is there."""
        return [person for person in self.others if correspondence.has_copy(self.databases, person, self.message_id)]

    def shown(self, person: Account) -> bool:
        """Whether somebody sees the message."""
        with self.databases.shard(person.shard) as connection:
            return reading.find(connection, person.id, self.message_id) is not None

    def on(self, shard: int) -> list[Account]:
        """The others on a shard."""
        return [person for person in self.others if person.shard == shard]

    @property
    def outcomes(self) -> Ledger:
        """What the shards wrote down."""
        return correspondence.ledger(self.databases, self.id)
