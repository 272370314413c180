"""The books: what became of every copy, counted again by queries that the system itself does not use."""

from collections import Counter

from benchmarks.dataset import Company
from benchmarks.errors import BenchmarkError
from benchmarks.place import Place
from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "books.sql")

_HANDLED = {
    # of a hundred mailboxes, by the last two digits of their number: thirty in a hundred did something
    **dict.fromkeys(range(24), (Fact.READ, Outcome.ALREADY_READ)),
    24: (Fact.READ | Fact.ATTACHMENT_DOWNLOADED, Outcome.ALREADY_READ),
    25: (Fact.ATTACHMENT_DOWNLOADED, Outcome.ATTACHMENT_DOWNLOADED),
    26: (Fact.FORWARDED, Outcome.FORWARDED),
    27: (Fact.FORWARDED | Fact.DELETED, Outcome.FORWARDED),
    28: (Fact.FETCHED_BY_POP3, Outcome.FETCHED_BY_POP3),
    29: (Fact.DELETED, Outcome.GONE),
}
"""What people did with a message, and the outcome that this has by the rules, spelt out."""


def expected(mailbox_id: int) -> Outcome:
    """Return the outcome that a mailbox must end with."""
    return _HANDLED[mailbox_id % 100][1] if mailbox_id % 100 in _HANDLED else Outcome.RECALLED


def handle(place: Place, message_id: int) -> None:
    """Have some people read, fetch, forward or delete a message."""
    facts = [_HANDLED[digits][0].value if digits in _HANDLED else 0 for digits in range(100)]
    for shard in place.shards:
        with place.databases.shard(shard) as connection:
            connection.execute(_SQL["handle"], {"message_id": message_id, "facts": facts})


def check_delivered(place: Place, company: Company, size: int, message_id: int) -> None:
    """See that every member has exactly one copy.

    Raises:
        BenchmarkError: somebody has not.
    """
    for shard in place.shards:
        with place.databases.shard(shard) as connection:
            found = [row[0] for row in connection.execute(_SQL["mailboxes_with"], {"message_id": message_id})]
        if found != list(company.members_on(shard, len(place.shards), size)):
            raise BenchmarkError(f"Message {message_id} is not in every mailbox of shard {shard} once.")


def check_withdrawn(place: Place, company: Company, size: int, message_id: int, recall_id: int) -> Counter[str]:
    """See that every member has exactly one outcome, the right one, and that exactly the right copies are gone.

    Returns:
        the counts of the outcomes, by their names.

    Raises:
        BenchmarkError: somebody has not.
    """
    counts: Counter[str] = Counter()
    for shard in place.shards:
        members = company.members_on(shard, len(place.shards), size)
        with place.databases.shard(shard) as connection:
            ledger = connection.execute(_SQL["ledger"], {"recall_id": recall_id}).fetchall()
            left = [row[0] for row in connection.execute(_SQL["mailboxes_with"], {"message_id": message_id})]
        if [row[0] for row in ledger] != list(members):
            raise BenchmarkError(f"The ledger of shard {shard} does not name each recipient of {message_id} once.")
        wrong = [mailbox for mailbox, outcome in ledger if outcome != expected(mailbox)]
        if wrong:
            raise BenchmarkError(f"{len(wrong)} recipients on shard {shard} have an outcome that is not theirs.")
        if left != [mailbox for mailbox in members if expected(mailbox) is not Outcome.RECALLED]:
            raise BenchmarkError(f"The copies left on shard {shard} are not those that had to stay.")
        counts.update(Outcome(outcome).slug for _mailbox, outcome in ledger)
    return counts


def clear(place: Place, message_id: int, recall_id: int) -> None:
    """Remove what is left of a message and its recall on the shards, so that the next run finds what this one found."""
    for shard in place.shards:
        with place.databases.shard(shard) as connection:
            connection.execute(_SQL["clear_copies"], {"message_id": message_id})
            connection.execute(_SQL["clear_ledger"], {"recall_id": recall_id})
    place.tidy()
