"""Who may recall what, and until when (R3, R6, R10, R11, R24), and what a recall came to (R13)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import (
    Accepted,
    Channel,
    ReasonError,
    Refusal,
    Refused,
    Requester,
    Result,
    State,
    Subject,
    clean_reason,
    judge,
    result_of,
)

ACCEPTED_AT = datetime(2026, 3, 1, 9, 0, 0, 123_456, tzinfo=UTC)
SOON = ACCEPTED_AT + timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)

AUTHOR = Requester(account_id=7, organisation_id=1, administrator=False)
COLLEAGUE = Requester(account_id=8, organisation_id=1, administrator=False)
POSTMASTER = Requester(account_id=9, organisation_id=1, administrator=True)
AUTHOR_AND_POSTMASTER = replace(AUTHOR, administrator=True)
STRANGER = Requester(account_id=20, organisation_id=2, administrator=False)
STRANGE_POSTMASTER = Requester(account_id=21, organisation_id=2, administrator=True)

MAIL = Subject(
    sender_account_id=7, organisation_id=1, channel=Channel.WEBMAIL, accepted_at=ACCEPTED_AT, local_recipients=True
)
FROM_OUTSIDE = replace(MAIL, sender_account_id=None, organisation_id=None, channel=Channel.LMTP)

AS_USER = Accepted(as_administrator=False)
AS_ADMINISTRATOR = Accepted(as_administrator=True)


def verdict(
    requester: Requester,
    mail: Subject | None = MAIL,
    policy: Policy | None = None,
    *,
    recent_recalls: int = 0,
    now: datetime = SOON,
) -> Accepted | Refused:
    return judge(requester, mail, policy or Policy(), recent_recalls=recent_recalls, now=now)


@pytest.mark.rule(10)
def test_r10_refusals_are_a_closed_set():
    assert {refusal.value for refusal in Refusal} == {
        "not_found",
        "not_sender",
        "not_in_organisation",
        "window_expired",
        "not_sent_from_webmail",
        "no_local_recipients",
        "approval_required",  # R21: given by the batch recalls of administrators, not by `judge`
        "rate_limited",
    }


@pytest.mark.rule(3, 10)
@pytest.mark.parametrize(
    ("requester", "expected"), [(AUTHOR, AS_USER), (POSTMASTER, AS_ADMINISTRATOR), (AUTHOR_AND_POSTMASTER, AS_USER)]
)
def test_r3_r10_author_and_administrator_may_recall(requester: Requester, expected: Accepted):
    assert verdict(requester) == expected


@pytest.mark.rule(10, 24)
@pytest.mark.parametrize(
    ("requester", "mail", "refusal"),
    [
        (AUTHOR, None, Refusal.NOT_FOUND),
        (POSTMASTER, None, Refusal.NOT_FOUND),
        (STRANGER, MAIL, Refusal.NOT_FOUND),
        (STRANGE_POSTMASTER, MAIL, Refusal.NOT_FOUND),
        (COLLEAGUE, MAIL, Refusal.NOT_SENDER),
        (AUTHOR, FROM_OUTSIDE, Refusal.NOT_SENDER),
        (POSTMASTER, FROM_OUTSIDE, Refusal.NOT_IN_ORGANISATION),
        (AUTHOR, replace(MAIL, local_recipients=False), Refusal.NO_LOCAL_RECIPIENTS),
        (POSTMASTER, replace(MAIL, local_recipients=False), Refusal.NO_LOCAL_RECIPIENTS),
    ],
)
def test_r10_r24_who_may_not(requester: Requester, mail: Subject | None, refusal: Refusal):
    assert verdict(requester, mail) == Refused(refusal)


@pytest.mark.rule(24)
@pytest.mark.parametrize("now", [SOON, ACCEPTED_AT + 400 * DAY], ids=["in time", "too late"])
@pytest.mark.parametrize("recent_recalls", [0, 10**6])
def test_r24_another_organisations_message_looks_like_none_at_all(now: datetime, recent_recalls: int):
    for requester in (STRANGER, STRANGE_POSTMASTER):
        seen = verdict(requester, MAIL, now=now, recent_recalls=recent_recalls)
        assert seen == verdict(requester, None, now=now, recent_recalls=recent_recalls)


WINDOWS = [
    pytest.param(AUTHOR, Policy(), timedelta(hours=24), id="user"),
    pytest.param(POSTMASTER, Policy(), 7 * DAY, id="administrator"),
    pytest.param(AUTHOR_AND_POSTMASTER, Policy(), 7 * DAY, id="author who is an administrator"),
    pytest.param(AUTHOR, Policy(window_user=15 * 86_400), 15 * DAY, id="user, agreement"),
    pytest.param(POSTMASTER, Policy(window_admin=15 * 86_400), 15 * DAY, id="administrator, agreement"),
    pytest.param(AUTHOR, Policy(window_user=1), timedelta(seconds=1), id="user, one second"),
]


@pytest.mark.rule(3)
@pytest.mark.parametrize(("requester", "policy", "window"), WINDOWS)
def test_r3_both_ends_of_the_window_belong_to_it(requester: Requester, policy: Policy, window: timedelta):
    for moment in (ACCEPTED_AT, ACCEPTED_AT + window):
        assert isinstance(verdict(requester, policy=policy, now=moment), Accepted)


@pytest.mark.rule(3)
@pytest.mark.parametrize(("requester", "policy", "window"), WINDOWS)
def test_r3_a_microsecond_later_it_is_closed_and_says_since_when(
    requester: Requester, policy: Policy, window: timedelta
):
    closed = verdict(requester, policy=policy, now=ACCEPTED_AT + window + MICROSECOND)
    assert closed == Refused(Refusal.WINDOW_EXPIRED, closed_at=ACCEPTED_AT + window)


@pytest.mark.rule(3)
def test_r3_the_window_is_the_same_in_every_time_zone():
    closes = ACCEPTED_AT + timedelta(hours=24)
    for offset in (-12, 0, 8, 14):
        local = closes.astimezone(timezone(timedelta(hours=offset)))
        assert verdict(AUTHOR, now=local) == AS_USER
        assert isinstance(verdict(AUTHOR, now=local + MICROSECOND), Refused)


@pytest.mark.rule(3)
def test_r3_an_author_acts_as_administrator_only_past_the_users_window():
    edge = ACCEPTED_AT + timedelta(hours=24)
    assert verdict(AUTHOR_AND_POSTMASTER, now=edge) == AS_USER
    assert verdict(AUTHOR_AND_POSTMASTER, now=edge + MICROSECOND) == AS_ADMINISTRATOR


@pytest.mark.rule(6)
@pytest.mark.parametrize("channel", [channel for channel in Channel if channel is not Channel.WEBMAIL])
@pytest.mark.parametrize(
    ("requester", "lifted", "expected"),
    [
        (AUTHOR, False, Refused(Refusal.NOT_SENT_FROM_WEBMAIL)),
        (AUTHOR, True, Refused(Refusal.NOT_SENT_FROM_WEBMAIL)),
        (POSTMASTER, False, Refused(Refusal.NOT_SENT_FROM_WEBMAIL)),
        (POSTMASTER, True, AS_ADMINISTRATOR),
        (AUTHOR_AND_POSTMASTER, False, Refused(Refusal.NOT_SENT_FROM_WEBMAIL)),
        (AUTHOR_AND_POSTMASTER, True, AS_ADMINISTRATOR),
    ],
)
def test_r6_only_webmail_unless_the_switch_lifts_it_for_administrators(
    channel: Channel, requester: Requester, lifted: bool, expected: Accepted | Refused
):
    mail = replace(MAIL, channel=channel)
    assert verdict(requester, mail, Policy(recall_any_channel_admin=lifted)) == expected


@pytest.mark.rule(10)
@pytest.mark.parametrize("requester", [AUTHOR, POSTMASTER, AUTHOR_AND_POSTMASTER])
def test_r10_a_rate_limit_counts_what_was_asked_before(requester: Requester):
    policy = Policy(recalls_per_hour=3)
    assert isinstance(verdict(requester, policy=policy, recent_recalls=2), Accepted)
    for recent in (3, 4):
        assert verdict(requester, policy=policy, recent_recalls=recent) == Refused(Refusal.RATE_LIMITED)


@pytest.mark.rule(11)
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("x", "x"),
        ("  wrong attachment \n", "wrong attachment"),
        ("x" * 500, "x" * 500),
        (" " * 300 + "x" * 500 + " " * 300, "x" * 500),
        ("发错了人" * 125, "发错了人" * 125),
        ("first line\nsecond\tline", "first line\nsecond\tline"),
    ],
)
def test_r11_a_reason_of_1_to_500_characters_is_kept_trimmed(given: str, kept: str):
    assert clean_reason(given) == kept


@pytest.mark.rule(11)
@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("", "Say why"),
        (" \t\r\n\u3000", "Say why"),
        *(
            (nothing * 3, "Say why")
            for nothing in (
                *("\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\U000e0041"),
                *("\u2800", "\u3164", "\u115f", "\uffa0", "\u034f", "\ufe0f", "\u00a0"),
            )
        ),
        ("x" * 501, "has 501 characters; 500"),
        ("发" * 501, "has 501 characters; 500"),
        ("nul\x00byte", "control character"),
        ("escape\x1b[31m", "control character"),
        ("half a pair \ud83d", "control character"),
    ],
)
def test_r11_any_other_reason_is_refused(given: str, complaint: str):
    with pytest.raises(ReasonError, match=complaint):
        clean_reason(given)


@pytest.mark.rule(1, 13, 16)
@pytest.mark.parametrize(
    ("counts", "result"),
    [
        ({Outcome.RECALLED: 5}, Result.SUCCEEDED),
        # R1: recipients outside never stop the others, nor spoil the result
        ({Outcome.RECALLED: 5, Outcome.EXTERNAL: 2}, Result.SUCCEEDED),
        ({Outcome.EXTERNAL: 2}, Result.FAILED),
        ({}, Result.FAILED),
        *(
            ({Outcome.RECALLED: 4, stayed: 1}, Result.PARTIAL)
            for stayed in Outcome
            if stayed not in {Outcome.RECALLED, Outcome.EXTERNAL}
        ),
        *(
            ({stayed: 1, Outcome.EXTERNAL: 1}, Result.FAILED)
            for stayed in Outcome
            if stayed not in {Outcome.RECALLED, Outcome.EXTERNAL}
        ),
    ],
)
def test_r1_r13_a_recall_succeeded_only_if_every_local_copy_went(counts: dict[Outcome, int], result: Result):
    assert result_of(Tally.of(counts)) is result


def test_names_that_the_database_checks():
    assert [channel.value for channel in Channel] == ["webmail", "submission", "lmtp", "system", "forwarded"]
    assert [state.value for state in State] == ["accepted", "running", "settled"]
    assert [result.value for result in Result] == ["succeeded", "partial", "failed"]
