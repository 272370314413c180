"""Gathering what a report may draw on: the envelope, the outcomes of those it names, and the members that failed."""

from collections.abc import Iterator

from mailrecall.directory.placement import hold_still
from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import outcomes, pacing
from mailrecall.recalls.outcomes import Ledger
from mailrecall.recalls.views import NAMED_DIRECTLY, RecallView
from services.reports.report import Findings, Group, Member, RecalledMessage

_SQL = queries.load(__package__, "summarising.sql")

LONGEST_LIST = 30_000
"""Failed members that a report lists at most (R18 counts them all): so many are a mail of four megabytes, and writing
it takes no more when there are more. The console's export has the whole list."""


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
        psycopg.OperationalError: a shard that took part in the recall does not answer now, or mailboxes are moving.
    """
    with databases.control() as connection:
        # until all is read: a mailbox that moved meanwhile would be on neither shard, or on both
        hold_still(connection)
        named = connection.execute(_SQL["groups"], {"message_id": view.message_id}).fetchall()
        ledger = outcomes.locate(connection, view.id)
        nobody = Tally({})
        return Findings(
            addressees=outcomes.of_addressees(databases, ledger),
            groups=[Group(address, name, view.by_via.get(position, nobody)) for position, address, name in named],
            failed=_failed(databases, ledger, {position: address for position, address, _name in named}),
            pace=pacing.find(connection, view.id),
        )


def _failed(databases: Databases, ledger: Ledger, groups: dict[int, str]) -> list[Member]:
    """List the members of groups whose copies stayed."""
    local: list[outcomes.Standing] = []
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


def _failed_locally(databases: Databases, ledger: Ledger) -> Iterator[outcomes.Standing]:
    for shard in sorted(ledger.done):
        with outcomes.patience(ledger, shard):
            yield from (f for f in outcomes.failed_on(databases, ledger, shard) if f.via != NAMED_DIRECTLY)
    yield from (f for f in outcomes.unreachable(databases, ledger) if f.via != NAMED_DIRECTLY)
