"""R2 against R9: a reader and a withdrawal at the same copy at the same moment, thousands of times."""

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.mailstore import deposit, reading
from mailrecall.mailstore.batch import Batch
from mailrecall.mailstore.withdrawal import withdraw

READ_RACES = int(os.environ.get("READ_RACES", "100000"))
"""Copies of the long test. Quicker: `READ_RACES=10000 make test-long ARGS=tests/integration/test_race.py`."""
MAILBOXES = 20
SHARD = 0


def listed() -> deposit.ListedMessage:
    return deposit.ListedMessage(
        accepted_at=clock.now(), size=5, from_header="", to_header="", subject="", preview="", attachments=0
    )


def race(databases, message_id: int, rounds: int) -> None:
    """Two readers against one recall, for twenty copies in each round; then the books."""
    recall_id = message_id + 1
    everyone = range(1, rounds * MAILBOXES + 1)
    with databases.shard(SHARD) as connection:
        deposit.deposit(
            connection, message_id, 1, listed(), b"hello", mailbox_ids=list(everyone), via=[0] * len(everyone)
        )
        # each round is a batch of its own, as if it had been delivered so
        connection.execute(
            "INSERT INTO deposit (message_id, batch) SELECT %s, n FROM generate_series(2, %s) AS n",
            (message_id, rounds),
        )
    start = threading.Barrier(3)
    read: list[int] = []

    def readers(backwards: bool) -> None:
        for number in range(rounds):
            mailboxes = everyone[number * MAILBOXES : (number + 1) * MAILBOXES]
            start.wait()
            for mailbox in reversed(mailboxes) if backwards else mailboxes:
                with databases.shard(SHARD) as connection:
                    shown = reading.open_copy(connection, mailbox, message_id, now=clock.now())
                if shown is not None:
                    read.append(mailbox)

    def withdrawals() -> Counter[str]:
        totals: Counter[str] = Counter()
        for number in range(rounds):
            first = everyone[number * MAILBOXES]
            batch = Batch(
                recall_id=recall_id,
                batch=number + 1,
                message_id=message_id,
                first=first,
                last=first + MAILBOXES - 1,
                recipients=MAILBOXES,
            )
            start.wait()
            with databases.shard(SHARD) as connection:
                counts = withdraw(connection, batch, lambda: pytest.fail("every copy was here"), now=clock.now())
            totals.update(counts.get("0", {}))
        return totals

    with ThreadPoolExecutor(3) as threads:
        racing = [threads.submit(readers, backwards) for backwards in (False, True)]
        totals = threads.submit(withdrawals).result()
        for racer in racing:
            racer.result()

    with databases.shard(SHARD) as connection:
        left = dict(
            connection.execute("SELECT mailbox_id, facts FROM copy WHERE message_id = %s", (message_id,)).fetchall()
        )
        outcomes = dict(
            connection.execute("SELECT mailbox_id, outcome FROM outcome WHERE recall_id = %s", (recall_id,)).fetchall()
        )
    assert outcomes.keys() == set(everyone)
    assert {mailbox for mailbox, outcome in outcomes.items() if outcome == Outcome.ALREADY_READ} == set(read)
    assert left.keys() == set(read)
    assert all(facts & Fact.READ for facts in left.values())
    assert totals == Counter(Outcome(outcome).slug for outcome in outcomes.values())
    # it was a race: both sides won some
    assert 0 < len(set(read)) < len(everyone)


@pytest.mark.rule(2, 9)
def test_r2_a_read_racing_a_withdrawal_wins_or_loses_and_never_both(databases):
    race(databases, 1_000_002, rounds=250)


@pytest.mark.long
@pytest.mark.rule(2, 9)
@pytest.mark.timeout(7200)
def test_r2_a_hundred_thousand_reads_race_withdrawals(databases):
    race(databases, 1_000_012, rounds=READ_RACES // MAILBOXES)
