"""What waits for a second administrator, who may decide, and when it lapses (R21, R24)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailrecall.domain.approvals import Approval, Objection, Waiting, lapses_at, needs_approval, objection, standing
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Requester

ASKED_AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
LAPSES_AT = ASKED_AT + timedelta(hours=72)
LATER = LAPSES_AT + timedelta(microseconds=1)

WAITING = Waiting(organisation_id=1, requested_by=7, state=Approval.WAITING, lapses_at=LAPSES_AT)
ASKER = Requester(account_id=7, organisation_id=1, administrator=True)
SECOND = Requester(account_id=8, organisation_id=1, administrator=True)
USER = Requester(account_id=9, organisation_id=1, administrator=False)
STRANGER = Requester(account_id=20, organisation_id=2, administrator=True)


@pytest.mark.rule(21)
@pytest.mark.parametrize(
    ("copies", "above", "as_administrator", "needed"),
    [
        (10_000, 10_000, True, False),
        (10_001, 10_000, True, True),
        (10_001, 10_000, False, False),
        (1, 0, True, True),
        (0, 0, True, False),
    ],
)
def test_r21_more_copies_than_the_policy_says_wait_for_approval(copies, above, as_administrator, needed):
    policy = Policy(approval_above=above)
    assert needs_approval(copies, policy, as_administrator=as_administrator) is needed


@pytest.mark.rule(21)
def test_r21_ten_thousand_copies_need_none_unless_the_policy_says_otherwise():
    assert not needs_approval(10_000, Policy(), as_administrator=True)
    assert needs_approval(10_001, Policy(), as_administrator=True)


@pytest.mark.rule(21)
@pytest.mark.parametrize(
    ("state", "now", "stands"),
    [
        (Approval.WAITING, ASKED_AT, Approval.WAITING),
        (Approval.WAITING, LAPSES_AT, Approval.WAITING),
        (Approval.WAITING, LATER, Approval.LAPSED),
        (Approval.APPROVED, LATER, Approval.APPROVED),
        (Approval.REJECTED, LATER, Approval.REJECTED),
        (Approval.LAPSED, ASKED_AT, Approval.LAPSED),
    ],
)
def test_r21_what_nobody_decides_on_lapses_after_72_hours(state, now, stands):
    assert lapses_at(ASKED_AT) == LAPSES_AT
    assert standing(replace(WAITING, state=state), now=now) is stands


@pytest.mark.rule(21, 24)
@pytest.mark.parametrize(
    ("decider", "request_", "now", "objected"),
    [
        (SECOND, WAITING, ASKED_AT, None),
        (SECOND, WAITING, LAPSES_AT, None),
        (SECOND, WAITING, LATER, Objection.ALREADY_DECIDED),
        (ASKER, WAITING, ASKED_AT, Objection.OWN_REQUEST),
        (ASKER, WAITING, LATER, Objection.OWN_REQUEST),
        (USER, WAITING, ASKED_AT, Objection.NOT_FOUND),
        (STRANGER, WAITING, ASKED_AT, Objection.NOT_FOUND),
        (STRANGER, WAITING, LATER, Objection.NOT_FOUND),
        (SECOND, None, ASKED_AT, Objection.NOT_FOUND),
        *(
            (SECOND, replace(WAITING, state=decided), ASKED_AT, Objection.ALREADY_DECIDED)
            for decided in (Approval.APPROVED, Approval.REJECTED, Approval.LAPSED)
        ),
    ],
)
def test_r21_r24_a_second_administrator_decides_once(decider, request_, now, objected):
    assert objection(decider, request_, now=now) is objected


def test_names_that_the_database_checks():
    assert [state.value for state in Approval] == ["waiting", "approved", "rejected", "lapsed"]
