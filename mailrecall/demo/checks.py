"""The books of the demonstration, kept by queries of its own on the shards: not by the code that did the work."""

import hashlib
from collections import Counter
from dataclasses import dataclass

from mailrecall.domain.copies import Fact, message_of
from mailrecall.domain.outcomes import Outcome
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases

_SQL = queries.load(__package__, "checks.sql")


@dataclass(frozen=True, slots=True)
class Stocktaking:
    """All copies of one message on all shards: by mailbox, what happened to each."""

    copies: dict[int, Fact]
    externals: int

    @property
    def recipients(self) -> int:
        """Everyone the message went to."""
        return len(self.copies) + self.externals


@dataclass(frozen=True, slots=True)
class Check:
    """A statement about the books, and whether it holds."""

    statement: str
    holds: bool


def is_delivered(databases: Databases, copy_id: int) -> bool:
    """Tell whether every copy of a message has been deposited."""
    with databases.control() as connection:
        row = connection.execute(_SQL["delivered"], {"message_id": message_of(copy_id)}).fetchone()
    return bool(row and row[0])


def take_stock(databases: Databases, copy_id: int) -> Stocktaking:
    """Count a message's copies."""
    keys = {"message_id": message_of(copy_id)}
    copies: dict[int, Fact] = {}
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            copies.update({mailbox: Fact(facts) for mailbox, facts in connection.execute(_SQL["copies"], keys)})
    with databases.control() as connection:
        row = connection.execute(_SQL["externals"], keys).fetchone()
    return Stocktaking(copies, row[0] if row else 0)


def check(
    databases: Databases, copy_id: int, recall_id: str, *, before: Stocktaking, source: bytes, told: dict[str, int]
) -> list[Check]:
    """Compare the shards before and after a recall with each other and with what the API tells.

    Args:
        databases: the stack's.
        copy_id: the author's copy of the message.
        recall_id: the recall, as people see it.
        before: the copies just before the recall.
        source: the message's bytes as a recipient got them over HTTP.
        told: the outcomes that the API reports.
    """
    after = take_stock(databases, copy_id)
    keys = {"message_id": message_of(copy_id), "public_id": recall_id}
    with databases.control() as connection:
        row = connection.execute(_SQL["recall_number"], keys).fetchone()
    number = {"recall_id": row[0] if row else 0, **keys}
    outcomes: Counter[Outcome] = Counter({Outcome.EXTERNAL: before.externals})
    recalled: set[int] = set()
    digests: set[str] = set()
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            outcomes.update({Outcome(o): n for o, n in connection.execute(_SQL["outcomes"], number)})
            recalled.update(mailbox for (mailbox,) in connection.execute(_SQL["recalled_mailboxes"], number))
            digests.update(digest for (digest,) in connection.execute(_SQL["content_digest"], number))
    kept = {mailbox for mailbox, facts in before.copies.items() if facts}
    return [
        Check(
            f"{before.recipients:,} recipients = {outcomes[Outcome.RECALLED]:,} recalled "
            f"+ {outcomes.total() - outcomes[Outcome.RECALLED]:,} others",
            before.recipients == outcomes.total(),
        ),
        Check("the API tells the same counts as the shards", told == {o.slug: n for o, n in outcomes.items() if n}),
        Check(
            f"the {len(recalled):,} recalled copies are gone, and they are those nothing had happened to",
            not recalled & after.copies.keys() and recalled == before.copies.keys() - kept,
        ),
        Check(f"the other {len(kept):,} copies are as they were", after.copies == {m: before.copies[m] for m in kept}),
        Check("and their content is there, byte for byte", digests == {hashlib.sha256(source).hexdigest()}),
    ]
