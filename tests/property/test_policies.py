"""A policy survives its way through the database and the API, and nothing else gets in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailrecall.domain.policy import DAY, LONGEST_WINDOW, GroupMode, Policy, PolicyError, Scope

POLICIES = st.builds(
    Policy,
    scope=st.sampled_from(Scope),
    window_user=st.integers(1, LONGEST_WINDOW),
    window_admin=st.integers(1, LONGEST_WINDOW),
    recall_any_channel_admin=st.booleans(),
    group_mode=st.sampled_from(GroupMode),
    tombstone=st.booleans(),
    notify_author=st.booleans(),
    approval_above=st.integers(0, 100_000_000),
    admin_sees_failed_accounts=st.booleans(),
    retention=st.integers(0, 90 * DAY),
    recalls_per_hour=st.integers(1, 1_000_000),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@given(policy=POLICIES)
def test_a_policy_comes_back_from_json_as_it_was(policy: Policy):
    assert Policy.from_mapping(json.loads(json.dumps(policy.to_mapping()))) == policy


@pytest.mark.rule(3)
@given(switch=st.sampled_from(sorted(Policy().to_mapping())), value=JSON)
def test_r3_any_value_is_taken_as_it_is_or_refused(switch: str, value: object):
    try:
        policy = Policy.from_mapping({switch: value})
    except PolicyError as error:
        complaint = str(error)
    else:
        complaint = ""
        kept = policy.to_mapping()[switch]
        assert (kept, type(kept)) == (value, type(value))
        assert 1 <= policy.window_user <= LONGEST_WINDOW
        assert 1 <= policy.window_admin <= LONGEST_WINDOW
    assert not complaint or complaint.startswith(f"{switch} must be ")


@given(switch=st.text(), value=JSON)
def test_an_unknown_switch_is_never_ignored(switch: str, value: object):
    if switch not in Policy().to_mapping():
        with pytest.raises(PolicyError, match="There is no policy switch"):
            Policy.from_mapping({switch: value})
