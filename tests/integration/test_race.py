"""R2 against R9: a reader and a withdrawal at the same copy at the same moment, thousands of times."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.mailstore import deposit, reading
from mailrecall.mailstore.withdrawal import Batch, withdraw

ROUNDS = 250
MAILBOXES = 20
MESSAGE, RECALL, SHARD = 1_000_002, 1_000_001, 0


def listed() -> deposit.ListedMessage:
    return deposit.ListedMessage(
        accepted_at=clock.now(), size=5, from_header="", to_header="", subject="", preview="", attachments=0
    )


@pytest.mark.rule(2, 9)
def test_r2_a_read_racing_a_withdrawal_wins_or_loses_and_never_both(databases):
    everyone = range(1, ROUNDS * MAILBOXES + 1)
    with databases.shard(SHARD) as connection:
        deposit.deposit(connection, MESSAGE, 1, listed(), b"hello", mailbox_ids=list(everyone), via=[0] * len(everyone))
        # each round is a batch of its own, as if it had been delivered so
        connection.execute(
            "INSERT INTO deposit (message_id, batch) SELECT %s, n FROM generate_series(2, %s) AS n", (MESSAGE, ROUNDS)
        )
    start = threading.Barrier(3)
    read: list[int] = []

    def readers(backwards: bool) -> None:
        for number in range(ROUNDS):
            mailboxes = everyone[number * MAILBOXES : (number + 1) * MAILBOXES]
            start.wait()
            for mailbox in reversed(mailboxes) if backwards else mailboxes:
                with databases.shard(SHARD) as connection:
                    shown = reading.open_copy(connection, mailbox, MESSAGE, now=clock.now())
                if shown is not None:
                    read.append(mailbox)

    def withdrawals() -> Counter[str]:
        totals: Counter[str] = Counter()
        for number in range(ROUNDS):
            first = everyone[number * MAILBOXES]
            batch = Batch(
                recall_id=RECALL,
                batch=number + 1,
                message_id=MESSAGE,
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
            connection.execute("SELECT mailbox_id, facts FROM copy WHERE message_id = %s", (MESSAGE,)).fetchall()
        )
        outcomes = dict(
            connection.execute("SELECT mailbox_id, outcome FROM outcome WHERE recall_id = %s", (RECALL,)).fetchall()
        )
    assert outcomes.keys() == set(everyone)
    assert {mailbox for mailbox, outcome in outcomes.items() if outcome == Outcome.ALREADY_READ} == set(read)
    assert left.keys() == set(read)
    assert all(facts & Fact.READ for facts in left.values())
    assert totals == Counter(Outcome(outcome).slug for outcome in outcomes.values())
    # it was a race: both sides won some
    assert 0 < len(set(read)) < len(everyone)
