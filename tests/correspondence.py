"""Messages between the people of a test's company, taken as far as the shards, and what is found there."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection, sql

from mailrecall import clock
from mailrecall.directory.groups import Group
from mailrecall.directory.lookup import Account, policy_of
from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Channel, Refused, Requester
from mailrecall.messages import acceptance
from mailrecall.messages.acceptance import Author, EnvelopeRecipient, Incoming
from mailrecall.mime.summary import summarise
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import requests, views
from mailrecall.recalls.requests import Requested
from mailrecall.recalls.views import RecallView
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import dispatch


def author(account: Account) -> Author:
    """The account as the author of a message."""
    return Author(account.id, account.organisation_id, account.shard)


def addressee(who: Account | Group | str) -> EnvelopeRecipient:
    """An envelope recipient: an account, a group, or an address outside."""
    if isinstance(who, Account):
        return EnvelopeRecipient(who.address, "account", account_id=who.id)
    if isinstance(who, Group):
        return EnvelopeRecipient(who.address, "group", group_id=who.id)
    return EnvelopeRecipient(who, "external")


def send(
    databases: Databases,
    sender: Account,
    *to: Account | Group | str,
    channel: Channel = Channel.WEBMAIL,
    now: datetime | None = None,
) -> int:
    """Accept a message; nothing is delivered yet."""
    return dispatch.send(
        databases, author(sender), [addressee(who) for who in to], address=sender.address, channel=channel, now=now
    )


def accept(databases: Databases, content: bytes, *to: Account, envelope_sender: str) -> int:
    """Accept a message from outside, as it is."""
    incoming = Incoming(
        author=None,
        envelope_sender=envelope_sender,
        channel=Channel.LMTP,
        content=content,
        summary=summarise(content),
        recipients=[addressee(who) for who in to],
    )
    with databases.control() as connection:
        return acceptance.accept(connection, incoming, now=clock.now())


def ask(
    databases: Databases,
    requester: Account,
    message_id: int,
    *,
    now: datetime | None = None,
    deadline: timedelta = timedelta(hours=1),
    reason: str = "sent in error",
) -> Requested | Refused:
    """Ask for a recall, as the gateway does."""
    with databases.control() as connection:
        return ask_on(connection, requester, message_id, now=now, deadline=deadline, reason=reason)


def ask_on(
    connection: Connection[Any],
    requester: Account,
    message_id: int,
    *,
    now: datetime | None = None,
    deadline: timedelta = timedelta(hours=1),
    reason: str = "sent in error",
) -> Requested | Refused:
    """Ask for a recall in a transaction of the test's own."""
    return requests.request(
        connection,
        Requester(requester.id, requester.organisation_id, requester.administrator),
        message_id,
        reason,
        policy_of(connection, requester.organisation_id),
        now=now or clock.now(),
        deadline=deadline,
    )


def happen(databases: Databases, account: Account, message_id: int, fact: Fact) -> None:
    """Let something have happened to an account's copy."""
    with databases.shard(account.shard) as connection:
        touched = connection.execute(
            "UPDATE copy SET facts = facts | %s WHERE mailbox_id = %s AND message_id = %s",
            (fact.value, account.id, message_id),
        ).rowcount
    assert touched == 1, "there is no such copy"


def has_copy(databases: Databases, account: Account, message_id: int) -> bool:
    """Tell whether the account's mailbox shows the message."""
    with databases.shard(account.shard) as connection:
        row = connection.execute(
            "SELECT facts FROM copy WHERE mailbox_id = %s AND message_id = %s", (account.id, message_id)
        ).fetchone()
    return row is not None and not row[0] & Fact.DELETED


def recalled(process: Process[Settings], requester: Account, message_id: int) -> RecallView:
    """Recall a message, as far as its settlement."""
    asked = ask(process.databases, requester, message_id)
    assert isinstance(asked, Requested), asked
    dispatch.run(process)
    with process.databases.control() as connection:
        view = views.get(connection, asked.recall.id)
    assert view is not None
    return view


@dataclass(frozen=True, slots=True)
class Ledger:
    """All outcome rows of a recall, from all shards."""

    rows: Sequence[tuple[int, Outcome]]

    def of(self, account: Account) -> Outcome:
        """The one outcome of an account."""
        (found,) = [outcome for mailbox_id, outcome in self.rows if mailbox_id == account.id]
        return found

    @property
    def counts(self) -> Counter[Outcome]:
        """How many ended how."""
        return Counter(outcome for _, outcome in self.rows)


def ledger(databases: Databases, recall_id: int) -> Ledger:
    """Read the ledgers of all shards, by queries of their own."""
    rows: list[tuple[int, Outcome]] = []
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            found = connection.execute("SELECT mailbox_id, outcome FROM outcome WHERE recall_id = %s", (recall_id,))
            rows += [(mailbox_id, Outcome(outcome)) for mailbox_id, outcome in found]
    return Ledger(rows)


@contextmanager
def withdrawal_fails(databases: Databases, account: Account) -> Iterator[None]:
    """Let nobody delete from a mailbox until the block ends: a row that fails by itself."""
    with databases.shard(account.shard) as connection:
        connection.execute(
            "CREATE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'this row is broken'; END $$"
        )
        connection.execute(
            sql.SQL(
                "CREATE TRIGGER breaks BEFORE DELETE ON copy FOR EACH ROW WHEN (OLD.mailbox_id = {})"
                " EXECUTE FUNCTION breaks()"
            ).format(account.id)
        )
    yield
    with databases.shard(account.shard) as connection:
        connection.execute("DROP FUNCTION breaks CASCADE")
