"""Whether all totals added up: every recall of a load test counted again on the shards, every promise looked up."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import BLOCKING_FACTS, Outcome
from mailrecall.embedded.deadlines import poll
from mailrecall.postgres.databases import Databases
from tests.load.promises import Promises

_QUIET_WITHIN = 180.0
"""Seconds that work which the users have set off may take to be done after they have gone."""


@dataclass(slots=True)
class Books:
    """What was counted, and what does not fit."""

    recalls: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Before:
    """What there was before the load, and does not belong to its books: the highest numbers."""

    recall: int
    work: int


def before(databases: Databases) -> Before:
    """Note what there is."""
    with databases.control() as connection:
        row = connection.execute(
            "SELECT coalesce((SELECT max(id) FROM recall), 0), coalesce((SELECT max(id) FROM outbox), 0)"
        ).fetchone()
    assert row is not None
    return Before(*row)


def check(databases: Databases, since: Before, promises: Promises) -> Books:
    """Wait until all work is done, then compare recalls, ledgers, copies and reports, and look every promise up."""
    books = Books()
    if not poll(lambda: _idle(databases), timeout=_QUIET_WITHIN, pause=0.5):
        books.wrong.append("not all work was done in time")
    with databases.control() as connection:
        recalls = connection.execute(
            "SELECT id, message_id, state, report_message_id, public_id::text FROM recall WHERE id > %s",
            (since.recall,),
        ).fetchall()
        batches = connection.execute(
            "SELECT recall_id, batch, recipients, counts FROM recall_batch WHERE recall_id > %s", (since.recall,)
        ).fetchall()
        dead = connection.execute("SELECT count(*) FROM outbox WHERE dead AND id > %s", (since.work,)).fetchone()
    books.recalls = len(recalls)
    books.wrong += [f"recall {number} is {state}" for number, _m, state, _r, _p in recalls if state != "settled"]
    books.wrong += [f"recall {number} has no report" for number, _m, _s, report, _p in recalls if report is None]
    if dead is None or dead[0]:
        books.wrong.append("some work was put aside")
    told = {(recall, batch): _counted(recipients, counts, books) for recall, batch, recipients, counts in batches}
    found: dict[tuple[int, int], Counter[str]] = {}
    for shard in databases.shards:
        _look_at(databases, shard, recalls, found, books)
    for key in told.keys() | found.keys():
        if told.get(key) != found.get(key):
            books.wrong.append(f"recall {key[0]}, batch {key[1]}: told {told.get(key)}, found {found.get(key)}")
    there = {public_id for *_, public_id in recalls}
    books.wrong += [
        f"recall {p.recall_id} was accepted and is not there" for p in promises.asked if p.recall_id not in there
    ]
    planned: Counter[int] = Counter()
    for (recall, _batch), outcomes in told.items():
        planned[recall] += outcomes.total()
    _look_for_messages(databases, promises, {message: planned[recall] for recall, message, *_ in recalls}, books)
    _look_for_opened(databases, promises, books)
    return books


def _look_for_messages(databases: Databases, promises: Promises, recalled: dict[int, int], books: Books) -> None:
    """Every message that was accepted is with its recipients, or with its recall, and with its author."""
    ids = [sent.message_id for sent in promises.sent]
    with databases.control() as connection:
        rows = connection.execute(
            "SELECT id FROM message WHERE id = ANY (%s) AND delivered_at IS NOT NULL", (ids,)
        ).fetchall()
    delivered = {row[0] for row in rows}
    copies = _copies(databases, [*ids, *(sent.copy_id for sent in promises.sent)])
    for sent in promises.sent:
        number = sent.message_id
        if number not in delivered:
            books.wrong.append(f"message {number} was accepted and is not delivered")
        if not copies[sent.copy_id]:
            books.wrong.append(f"message {number} is not in its author's Sent")
        reached = recalled.get(number, copies[number])
        if reached != sent.recipients:
            books.wrong.append(f"message {number} went to {sent.recipients} and reached {reached}")


def _copies(databases: Databases, ids: Sequence[int]) -> Counter[int]:
    found: Counter[int] = Counter()
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            rows = connection.execute(
                "SELECT message_id, count(*) FROM copy WHERE message_id = ANY (%s) GROUP BY 1", (ids,)
            ).fetchall()
        found.update(dict(rows))
    return found


def _look_for_opened(databases: Databases, promises: Promises, books: Books) -> None:
    """Whatever somebody was shown is still theirs, and known to be read (R2)."""
    opened = {(each.mailbox_id, each.message_id) for each in promises.opened}
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            rows = connection.execute(
                "SELECT mailbox_id, message_id FROM unnest(%s::int[], %s::bigint[]) AS o (mailbox_id, message_id)"
                " JOIN copy USING (mailbox_id, message_id) WHERE facts & %s <> 0",
                ([mailbox for mailbox, _ in opened], [message for _, message in opened], Fact.READ.value),
            ).fetchall()
        opened -= set(rows)
    books.wrong += [
        f"message {message} was shown to mailbox {mailbox} and is not read there" for mailbox, message in sorted(opened)
    ]


def _idle(databases: Databases) -> bool:
    with databases.control() as connection:
        row = connection.execute("SELECT count(*) FROM outbox WHERE NOT dead").fetchone()
    return row == (0,)


def _counted(recipients: int, counts: dict[str, dict[str, int]] | None, books: Books) -> Counter[str]:
    total: Counter[str] = Counter()
    for by_outcome in (counts or {}).values():
        total.update(by_outcome)
    if total.total() != recipients:
        books.wrong.append(f"a batch of {recipients} recipients has {total.total()} outcomes")
    books.outcomes.update(total)
    return total


def _look_at(
    databases: Databases,
    shard: int,
    recalls: list[Any],
    found: dict[tuple[int, int], Counter[str]],
    books: Books,
) -> None:
    numbers, messages = [row[0] for row in recalls], [row[1] for row in recalls]
    with databases.shard(shard) as connection:
        rows = connection.execute(
            "SELECT recall_id, batch, outcome, count(*) FROM outcome WHERE recall_id = ANY (%s) GROUP BY 1, 2, 3",
            (numbers,),
        ).fetchall()
        still_there = connection.execute(
            "SELECT count(*) FROM unnest(%s::bigint[], %s::bigint[]) AS r (recall_id, message_id)"
            " JOIN copy c USING (message_id)"
            " LEFT JOIN outcome o ON o.recall_id = r.recall_id AND o.mailbox_id = c.mailbox_id"
            " WHERE o.outcome = %s OR o.outcome IS NULL OR c.facts & %s = 0",
            (numbers, messages, Outcome.RECALLED, BLOCKING_FACTS.value),
        ).fetchone()
    for recall, batch, outcome, count in rows:
        found.setdefault((recall, batch), Counter())[Outcome(outcome).slug] += count
    if still_there is None or still_there[0]:
        books.wrong.append(f"shard {shard} still has copies that should have gone: {still_there}")
