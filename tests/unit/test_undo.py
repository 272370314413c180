"""R26: who may undo a recall, and until when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailrecall.domain.recalls import Requester, State
from mailrecall.domain.undo import Undoable, UndoRefusal, UndoRefused, judge_undo, restorable_until

SETTLED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
TICK = timedelta(microseconds=1)

ADMINISTRATOR = Requester(1, 10, administrator=True)
RECALL = Undoable(
    organisation_id=10, state=State.SETTLED, settled_at=SETTLED, retention=WEEK, taken=5, never_left=False, purged=False
)


@pytest.mark.rule(26)
@pytest.mark.parametrize(
    ("after", "allowed"),
    [
        (timedelta(0), True),
        (WEEK - TICK, True),
        (WEEK, True),
        (WEEK + TICK, False),
        (timedelta(days=400), False),
    ],
    ids=["at once", "just before", "the last moment", "just after", "long after"],
)
def test_r26_both_ends_of_the_retention_belong_to_it(after, allowed):
    refused = judge_undo(ADMINISTRATOR, RECALL, now=SETTLED + after)
    assert refused == (None if allowed else UndoRefused(UndoRefusal.RETENTION_OVER, closed_at=SETTLED + WEEK))


@pytest.mark.rule(26)
@pytest.mark.parametrize(("after", "allowed"), [(timedelta(0), True), (TICK, False)])
def test_r26_without_retention_nothing_can_be_undone_but_in_the_same_moment(after, allowed):
    recall = replace(RECALL, retention=timedelta(0))
    assert (judge_undo(ADMINISTRATOR, recall, now=SETTLED + after) is None) is allowed
    assert restorable_until(SETTLED, timedelta(0)) == SETTLED


@pytest.mark.rule(24, 26)
@pytest.mark.parametrize(
    ("requester", "recall", "refusal"),
    [
        (ADMINISTRATOR, None, UndoRefusal.NOT_FOUND),
        (Requester(1, 11, administrator=True), RECALL, UndoRefusal.NOT_FOUND),
        (Requester(1, 10, administrator=False), RECALL, UndoRefusal.NOT_ALLOWED),
        (ADMINISTRATOR, replace(RECALL, state=State.RUNNING, settled_at=None), UndoRefusal.NOT_SETTLED),
        (ADMINISTRATOR, replace(RECALL, state=State.ACCEPTED, settled_at=None), UndoRefusal.NOT_SETTLED),
        (ADMINISTRATOR, replace(RECALL, purged=True), UndoRefusal.RETENTION_OVER),
        (ADMINISTRATOR, replace(RECALL, taken=0), UndoRefusal.NOTHING_TO_RESTORE),
        (ADMINISTRATOR, replace(RECALL, never_left=True), UndoRefusal.NOTHING_TO_RESTORE),
    ],
    ids=["unknown", "another organisation's", "no administrator", "running", "accepted", "purged", "nothing", "held"],
)
def test_r24_r26_who_may_not_and_what_cannot(requester, recall, refusal):
    refused = judge_undo(requester, recall, now=SETTLED)
    assert refused is not None
    assert refused.refusal is refusal
