"""Gathering what a report may draw on: the envelope, the outcomes of those it names, and the members that failed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from mailrecall import logs
from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import outcomes
from mailrecall.recalls.outcomes import Ledger
from mailrecall.recalls.views import NAMED_DIRECTLY, RecallView
from services.reports.report import Addressee, Findings, Group, Member, RecalledMessage, Unknown

log = logs.get(__name__)

_SQL = queries.load(__package__, "summarising.sql")

LONGEST_LIST = 200_000
"""Failed members that a report lists at most: what it takes to write them down stays bounded (R18 counts them all)."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the envelope."""

    position: int
    address: str
    kind: str
    account_id: int | None
    name: str


def recalled_message(databases: Databases, message_id: int) -> RecalledMessage:
    """Return what the control database knows of the message."""
    with databases.control() as connection:
        row = connection.execute(_SQL["recalled_message"], {"message_id": message_id}).fetchone()
    if row is None:
        raise LookupError(f"There is no message {message_id}.")
    return RecalledMessage(*row)


def gather(databases: Databases, view: RecallView) -> Findings:
    """Read a settled recall's envelope and ledgers.

    Raises:
        psycopg.OperationalError: a shard that took part in the recall does not answer now.
    """
    with databases.control() as connection:
        envelope = [_Line(*row) for row in connection.execute(_SQL["envelope"], {"message_id": view.message_id})]
        ledger = outcomes.locate(connection, view.id)
    nobody = Tally({})
    return Findings(
        addressees=_addressees(databases, ledger, envelope),
        groups=[
            Group(line.address, line.name, view.by_via.get(line.position, nobody))
            for line in envelope
            if line.kind == "group"
        ],
        failed=_failed(databases, ledger, {line.position: line.address for line in envelope}),
    )


def _addressees(databases: Databases, ledger: Ledger, envelope: Sequence[_Line]) -> list[Addressee]:
    """Give each recipient that the envelope names, however often, one line with its outcome."""
    mailbox_ids = list(dict.fromkeys(line.account_id for line in envelope if line.account_id is not None))
    found: dict[int, Outcome] = {}
    absence = Unknown.NEVER_DELIVERED
    if mailbox_ids:
        for shard in sorted(ledger.done):
            answered = False
            with _patience(ledger, shard):
                found |= outcomes.of_mailboxes(databases, ledger, shard, mailbox_ids)
                answered = True
            if not answered:
                absence = Unknown.NOT_ANSWERED
        named = set(mailbox_ids)
        found |= {f.mailbox_id: f.outcome for f in outcomes.unreachable(databases, ledger) if f.mailbox_id in named}
    addresses: dict[int | str, list[str]] = {}
    standing: dict[int | str, Outcome | Unknown] = {}
    for line in envelope:
        if line.kind == "group":
            continue
        key = line.address if line.account_id is None else line.account_id
        addresses.setdefault(key, []).append(line.address)
        standing[key] = Outcome.EXTERNAL if line.account_id is None else found.get(line.account_id, absence)
    return [Addressee(", ".join(addresses[key]), outcome) for key, outcome in standing.items()]


def _failed(databases: Databases, ledger: Ledger, groups: dict[int, str]) -> list[Member]:
    """List the members of groups whose copies stayed."""
    local: list[outcomes.Failed] = []
    for failed in _failed_locally(databases, ledger):
        if len(local) == LONGEST_LIST:
            break
        local.append(failed)
    with databases.control() as connection:
        addresses = outcomes.addresses(connection, [failed.mailbox_id for failed in local])
    rows = [(f.via, addresses[f.mailbox_id], f.outcome) for f in local if f.mailbox_id in addresses]
    for external in outcomes.externals(databases, ledger.recall_id):
        if len(rows) == LONGEST_LIST:
            break
        if external.via != NAMED_DIRECTLY:
            rows.append((external.via, external.address, Outcome.EXTERNAL))
    return [Member(address, groups.get(via, ""), outcome) for via, address, outcome in sorted(rows)]


def _failed_locally(databases: Databases, ledger: Ledger) -> Iterator[outcomes.Failed]:
    for shard in sorted(ledger.done):
        with _patience(ledger, shard):
            yield from (f for f in outcomes.failed_on(databases, ledger, shard) if f.via != NAMED_DIRECTLY)
    yield from (f for f in outcomes.unreachable(databases, ledger) if f.via != NAMED_DIRECTLY)


@contextmanager
def _patience(ledger: Ledger, shard: int) -> Iterator[None]:
    """Let the report go without a shard that does not answer, if the recall itself had to give up on that shard.

    The counts are complete in any case; what is missing is names. A shard that answered the whole recall comes back
    soon: its failure is the task's, and the outbox tries again.
    """
    try:
        yield
    except psycopg.OperationalError:
        if ledger.waits_for(shard):
            raise
        log.warning("report.shard_silent", recall_id=ledger.recall_id, shard=shard)
