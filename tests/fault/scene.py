"""What fault tests do over and over: a mail to a large group, a recall, a blow in the middle of it, and the books."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import sql

from mailrecall.directory.groups import Group
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import State
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.session import Session
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import views
from mailrecall.recalls.requests import Requested
from mailrecall.recalls.views import RecallView
from tests import company, correspondence

T = TypeVar("T")

PEOPLE = 4_000
READ = 400


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message that lies in many mailboxes, some of which have read it."""

    sender: Account
    message_id: int
    people: int
    team: Group
    """To which it went."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A running stack whose recalls take a while."""

    session: Session
    databases: Databases
    fault_points: Path = Path()
    """The folder in which tests say where a process is to die (mailrecall.faultpoints)."""

    def send(self, people: int = PEOPLE, **switches: object) -> Delivered:
        """Accept a mail to a large group."""
        firm = company.found(self.databases, people=1, switches=switches)
        members = self._hire_many(firm, people)
        team = company.group(self.databases, f"team@{firm.domain}", [])
        with self.databases.control() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO group_member (group_id, account_id) VALUES (%s, %s)", [(team.id, m) for m in members]
            )
        return Delivered(firm.people[0], correspondence.send(self.databases, firm.people[0], team), people, team)

    def send_again(self, mail: Delivered) -> Delivered:
        """Accept another mail to the same people."""
        return replace(mail, message_id=correspondence.send(self.databases, mail.sender, mail.team))

    def deliver(self, people: int = PEOPLE, *, read: int = READ, **switches: object) -> Delivered:
        """Send such a mail and wait until every copy lies there; then let some be read."""
        mail = self.send(people, **switches)
        self.await_delivery(mail)
        for shard in self.databases.shards:
            with self.databases.shard(shard) as connection:
                connection.execute(
                    "UPDATE copy SET facts = %s WHERE message_id = %s AND mailbox_id IN"
                    " (SELECT mailbox_id FROM copy WHERE message_id = %s ORDER BY mailbox_id LIMIT %s)",
                    (Fact.READ.value, mail.message_id, mail.message_id, read // len(self.databases.shards)),
                )
        return mail

    def await_delivery(self, mail: Delivered) -> None:
        """Wait until every copy is deposited."""

        def delivered() -> bool:
            with self.databases.control() as connection:
                row = connection.execute(
                    "SELECT delivered_at IS NOT NULL FROM message WHERE id = %s", (mail.message_id,)
                ).fetchone()
            return bool(row and row[0])

        assert poll(delivered, timeout=90), "the mail was not delivered in time"

    def await_rest(self) -> None:
        """Wait until no work is left that could still do anything."""

        def at_rest() -> bool:
            with self.databases.control() as connection:
                row = connection.execute("SELECT count(*) FROM outbox WHERE NOT dead").fetchone()
            return row == (0,)

        assert poll(lambda: self.patiently(at_rest), timeout=90), "some work was not done in time"

    def recall(self, mail: Delivered) -> int:
        """Ask for the recall; returns its number."""
        asked = correspondence.ask(self.databases, mail.sender, mail.message_id)
        assert isinstance(asked, Requested)
        return asked.recall.id

    def strike_midway(self, recall_id: int, blow: Callable[[], object]) -> None:
        """Wait until some batches are done, strike, and make sure that it was in the middle."""

        def begun() -> bool:
            return self.view(recall_id).tally.total > 0

        assert poll(begun, timeout=60, pause=0.005), "the recall did not begin"
        with self._unfinished(recall_id):
            blow()
            struck = self.patiently(lambda: self.view(recall_id))
        assert struck.state is State.RUNNING, "the recall was over before the blow fell"

    @contextmanager
    def _unfinished(self, recall_id: int) -> Iterator[None]:
        """Let one batch be counted only after the block, so that the recall is not over however long the blow takes."""
        connection = psycopg.connect(self.session.settings.control_url)
        try:
            held = connection.execute(
                "SELECT batch FROM recall_batch WHERE recall_id = %s AND state = 'pending'"
                " ORDER BY batch DESC LIMIT 1 FOR UPDATE SKIP LOCKED",
                (recall_id,),
            ).fetchone()
            assert held is not None, "the recall was over before the blow fell"
            yield
        finally:
            connection.close()  # if the blow was to this database, there is nobody to tell any more

    def view(self, recall_id: int) -> RecallView:
        """Read a recall."""
        with self.databases.control() as connection:
            view = views.get(connection, recall_id)
        assert view is not None
        return view

    def patiently(self, look: Callable[[], T]) -> T:
        """Look at a database that may be away for a while."""
        seen: list[T] = []

        def sees() -> bool:
            try:
                seen.append(look())
            except psycopg.OperationalError:
                return False
            return True

        assert poll(sees, timeout=60, pause=0.5), "the database did not come back"
        return seen[0]

    def await_settlement(self, recall_id: int) -> RecallView:
        """Wait until a recall is settled and reported."""

        def reported() -> bool:
            view = self.patiently(lambda: self.view(recall_id))
            return view.state is State.SETTLED and view.report_message_id is not None

        assert poll(reported, timeout=120), f"the recall was not settled in time: {self.view(recall_id)}"
        return self.view(recall_id)

    def check_books(self, mail: Delivered, recall_id: int, *, read: int = READ) -> None:
        """Compare ledger, copies and counts, each by its own query."""
        ledger = correspondence.ledger(self.databases, recall_id)
        expected = Counter({Outcome.RECALLED: mail.people - read, Outcome.ALREADY_READ: read})
        assert ledger.counts == +expected, ledger.counts
        assert len({mailbox for mailbox, _ in ledger.rows}) == len(ledger.rows) == mail.people
        left: dict[int, int] = {}
        for shard in self.databases.shards:
            with self.databases.shard(shard) as connection:
                left |= dict(
                    connection.execute("SELECT mailbox_id, facts FROM copy WHERE message_id = %s", (mail.message_id,))
                )
        assert left.keys() == {mailbox for mailbox, outcome in ledger.rows if outcome is not Outcome.RECALLED}
        assert all(left.values())
        assert Counter(dict(self.view(recall_id).tally.counts)) == +expected

    def kill(self, process: str) -> None:
        """Kill a process and all its children at once, without a chance to say goodbye."""
        for pid in self.session.processes()[process]:
            with suppress(ProcessLookupError):  # a child that ended meanwhile, by itself or with its parent
                os.kill(pid, signal.SIGKILL)

    def kill_child(self, process: str) -> None:
        """Kill one child of a worker: the one that runs tasks."""
        os.kill(self.session.processes()[process][-1], signal.SIGKILL)

    def reports(self, recall_id: int) -> int:
        """Count the report mails of a recall, in the reporter's organisation's system mail."""
        with self.databases.control() as connection:
            row = connection.execute(
                "SELECT count(*) FROM message m JOIN envelope_recipient e ON e.message_id = m.id"
                " JOIN recall r ON r.requested_by = e.account_id WHERE m.channel = 'system' AND r.id = %s",
                (recall_id,),
            ).fetchone()
        assert row is not None
        return int(row[0])

    def _hire_many(self, firm: company.Company, people: int) -> list[int]:
        with self.databases.control() as connection:
            rows = connection.execute(
                "WITH hired AS (INSERT INTO account (organisation_id, domain_id, shard)"
                " SELECT %s, (SELECT id FROM domain WHERE name = %s), n %% %s FROM generate_series(1, %s) AS n"
                " RETURNING id), named AS (INSERT INTO address (address, account_id)"
                " SELECT 'p' || id || '@' || %s, id FROM hired)"
                " SELECT id FROM hired",
                (firm.organisation_id, firm.domain, len(self.databases.shards), people, firm.domain),
            ).fetchall()
        return [account_id for (account_id,) in rows]


@contextmanager
def away(database_url: str, through_url: str) -> Iterator[None]:
    """Let a database refuse everybody, and throw out who is in, until the block ends.

    Args:
        database_url: the database.
        through_url: another one on the same server, through which it is told.
    """
    name = str(psycopg.conninfo.conninfo_to_dict(database_url)["dbname"])

    def allow(connections: str) -> None:
        statement = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        with psycopg.connect(through_url, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.SQL(connections)))

    def empty() -> bool:
        # all at once: one after the other, the last would go on working for seconds
        with psycopg.connect(through_url, autocommit=True) as connection:
            return not connection.execute(
                # not those that the server itself starts to clean up, which it would not let go
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND backend_type = 'client backend'",
                (name,),
            ).fetchall()

    allow("false")
    try:
        assert poll(empty, timeout=30, pause=0.01), "somebody did not leave the database"
        yield
    finally:
        allow("true")
