"""When mail that was put off is tried again."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from services.delivery.relay_schedule import LONGEST_PAUSE, SHORTEST_PAUSE, next_attempt

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TWO_DAYS = START + timedelta(days=2)


def test_pauses_grow_to_an_hour_and_end_when_nobody_waits_any_longer():
    attempts = [START]
    while attempts[-1] < TWO_DAYS:
        attempts.append(next_attempt(START, now=attempts[-1], give_up_at=TWO_DAYS))
    pauses = [after - before for before, after in pairwise(attempts)]
    assert pauses[:5] == [SHORTEST_PAUSE * n for n in (1, 1, 2, 4, 8)]
    assert all(before <= after for before, after in pairwise(pauses[:-1]))
    assert max(pauses) == LONGEST_PAUSE
    assert attempts[-1] == TWO_DAYS
    assert len(attempts) < 70


def test_an_attempt_is_never_in_the_past():
    late = TWO_DAYS + timedelta(hours=1)
    assert next_attempt(START, now=late, give_up_at=TWO_DAYS) == late
    assert next_attempt(START, now=START - timedelta(seconds=5), give_up_at=TWO_DAYS) > START
