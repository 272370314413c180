"""R3, R11, R13: windows, reasons and results for any moment, text and count."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailrecall.domain import recalls
from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.domain.policy import LONGEST_WINDOW, Policy
from mailrecall.domain.recalls import (
    LONGEST_REASON,
    Accepted,
    ReasonError,
    Refusal,
    Refused,
    clean_reason,
    judge,
    result_of,
)

MOMENTS = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy wants bounds without a zone
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# near the end of the window as often as far from it
SHIFTS = st.one_of(
    st.integers(-2, 2).map(lambda n: timedelta(microseconds=n)), st.timedeltas(timedelta(-20), timedelta(20))
)


@pytest.mark.rule(3)
@given(
    accepted_at=MOMENTS,
    window_user=st.integers(1, LONGEST_WINDOW),
    window_admin=st.integers(1, LONGEST_WINDOW),
    is_author=st.booleans(),
    administrator=st.booleans(),
    from_close=SHIFTS,
    zone=ZONES,
)
def test_r3_a_recall_is_accepted_exactly_until_the_window_closes(
    *,
    accepted_at: datetime,
    window_user: int,
    window_admin: int,
    is_author: bool,
    administrator: bool,
    from_close: timedelta,
    zone: timezone,
):
    policy = Policy(window_user=window_user, window_admin=window_admin)
    rights = [window_user] * is_author + [window_admin] * administrator
    subject = recalls.Subject(
        sender_account_id=1,
        organisation_id=1,
        channel=recalls.Channel.WEBMAIL,
        accepted_at=accepted_at,
        local_recipients=True,
    )
    requester = recalls.Requester(account_id=1 if is_author else 2, organisation_id=1, administrator=administrator)
    longest = timedelta(seconds=max(rights, default=0))
    now = (accepted_at + max(longest + from_close, timedelta(0))).astimezone(zone)
    verdict = judge(requester, subject, policy, recent_recalls=0, now=now)
    if not rights:
        assert verdict == Refused(Refusal.NOT_SENDER)
    elif now - accepted_at <= longest:
        assert isinstance(verdict, Accepted)
        # the wider rights are used only where the narrower do not reach
        assert verdict.as_administrator == (not is_author or now - accepted_at > timedelta(seconds=window_user))
    else:
        last = timedelta(seconds=window_admin if administrator else window_user)
        assert verdict == Refused(Refusal.WINDOW_EXPIRED, closed_at=accepted_at + last)


@pytest.mark.rule(11)
@given(text=st.text(max_size=2 * LONGEST_REASON))
def test_r11_a_reason_is_kept_whole_or_refused(text: str):
    try:
        kept = clean_reason(text)
    except ReasonError:
        trimmed = text.strip()
        printable = all(
            c in "\t\r\n" or not (c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff") for c in trimmed
        )
        shown = any("!" <= c <= "~" for c in trimmed)
        assert not shown or len(trimmed) > LONGEST_REASON or not printable
    else:
        assert kept == text.strip()
        assert any(c.isprintable() and not c.isspace() for c in kept)
        assert 1 <= len(kept) <= LONGEST_REASON
        assert kept.encode().decode() == kept
        assert clean_reason(kept) == kept


@pytest.mark.rule(13)
@given(counts=st.dictionaries(st.sampled_from(Outcome), st.integers(0, 1000)), externals=st.integers(1, 1000))
def test_r13_externals_never_change_what_a_recall_came_to(counts: dict[Outcome, int], externals: int):
    tally = Tally.of(counts)
    assert result_of(tally) is result_of(tally + Tally.of({Outcome.EXTERNAL: externals}))


@pytest.mark.rule(13)
@given(counts=st.dictionaries(st.sampled_from(Outcome), st.integers(0, 1000)))
def test_r13_the_result_follows_from_what_went_and_what_stayed(counts: dict[Outcome, int]):
    went = counts.get(Outcome.RECALLED, 0)
    stayed = sum(n for outcome, n in counts.items() if outcome not in {Outcome.RECALLED, Outcome.EXTERNAL})
    result = result_of(Tally.of(counts))
    assert (result is recalls.Result.SUCCEEDED) == (went > 0 and stayed == 0)
    assert (result is recalls.Result.PARTIAL) == (went > 0 and stayed > 0)
    assert (result is recalls.Result.FAILED) == (went == 0)
