"""The switches of an organisation: their defaults, their bounds, and how bad ones are refused."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from mailrecall.domain.policy import GroupMode, Kinship, Policy, PolicyError, Scope

DOCUMENT = Path(__file__).parents[2] / "docs" / "directory.md"
HOUR = 3600
DAY = 86_400


@pytest.mark.rule(1, 3, 6, 13, 17, 18, 21, 23, 26)
def test_r1_r3_r6_r13_r17_r18_defaults_are_those_of_the_rules():
    assert Policy().to_mapping() == {
        "scope": "organisation",
        "window_user": 24 * HOUR,
        "window_admin": 7 * DAY,
        "recall_any_channel_admin": False,
        "group_mode": "each",
        "tombstone": False,
        "notify_author": False,
        "approval_above": 10_000,
        "admin_sees_failed_accounts": True,
        "retention": 7 * DAY,
        "recalls_per_hour": 600,
    }


@pytest.mark.rule(3)
@pytest.mark.parametrize("switch", ["window_user", "window_admin"])
@pytest.mark.parametrize("seconds", [1, 24 * HOUR, 15 * DAY])
def test_r3_an_agreement_may_set_a_window_of_up_to_15_days(switch: str, seconds: int):
    assert Policy.from_mapping({switch: seconds}).to_mapping()[switch] == seconds


@pytest.mark.rule(3)
@pytest.mark.parametrize("switch", ["window_user", "window_admin"])
@pytest.mark.parametrize("seconds", [-1, 0, 15 * DAY + 1, 10**12])
def test_r3_a_window_of_more_than_15_days_or_of_nothing_is_refused(switch: str, seconds: int):
    with pytest.raises(PolicyError, match=rf"{switch} must be from 1 to {15 * DAY} seconds: 15 days.*got {seconds}"):
        Policy.from_mapping({switch: seconds})


@pytest.mark.rule(3)
def test_r3_the_bounds_hold_however_a_policy_is_made():
    with pytest.raises(PolicyError, match="window_user"):
        Policy(window_user=15 * DAY + 1)


@pytest.mark.rule(3)
def test_r3_user_and_administrator_have_windows_of_their_own():
    policy = Policy(window_user=5, window_admin=9)
    assert policy.window(administrator=False) == timedelta(seconds=5)
    assert policy.window(administrator=True) == timedelta(seconds=9)


@pytest.mark.parametrize(
    ("switch", "least", "most"),
    [("retention", 0, 90 * DAY), ("approval_above", 0, 100_000_000), ("recalls_per_hour", 1, 1_000_000)],
)
def test_other_numbers_have_bounds_too(switch: str, least: int, most: int):
    for inside in (least, most):
        assert Policy.from_mapping({switch: inside}).to_mapping()[switch] == inside
    for outside in (least - 1, most + 1):
        with pytest.raises(PolicyError, match=f"{switch} must be from {least} to {most}"):
            Policy.from_mapping({switch: outside})


@pytest.mark.parametrize(
    ("switch", "value", "complaint"),
    [
        ("window_user", "86400", "a whole number"),
        ("window_user", 3600.0, "a whole number"),
        ("window_user", True, "a whole number"),
        ("window_user", None, "a whole number"),
        ("tombstone", 1, "true or false"),
        ("tombstone", "yes", "true or false"),
        ("notify_author", None, "true or false"),
        ("scope", "galaxy", "one of domain, organisation, platform"),
        ("scope", 1, "one of domain, organisation, platform"),
        ("scope", ["domain"], "one of domain, organisation, platform"),
        ("group_mode", "some", "one of each, all_or_nothing"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_what_would_be_right(switch: str, value: object, complaint: str):
    with pytest.raises(PolicyError, match=f"{switch} must be {complaint}"):
        Policy.from_mapping({switch: value})


def test_an_unknown_switch_is_refused_with_the_names_there_are():
    with pytest.raises(PolicyError, match=r"no policy switch 'windows_user'; there are .*window_admin, window_user"):
        Policy.from_mapping({"windows_user": 5})


def test_what_is_not_named_keeps_its_default():
    assert Policy.from_mapping({"tombstone": True}) == Policy(tombstone=True)


@pytest.mark.rule(13)
@pytest.mark.parametrize("mode", GroupMode)
def test_r13_an_organisation_chooses_how_groups_are_recalled(mode: GroupMode):
    policy = Policy.from_mapping({"group_mode": mode.value})
    assert policy.group_mode is mode
    assert policy.all_or_nothing == (mode is GroupMode.ALL_OR_NOTHING)


@pytest.mark.parametrize("scope", Scope)
def test_a_policy_comes_back_from_its_mapping(scope: Scope):
    policy = Policy(scope=scope, window_user=15 * DAY, notify_author=True)
    assert Policy.from_mapping(policy.to_mapping()) == policy


@pytest.mark.rule(1)
@pytest.mark.parametrize(
    ("scope", "inside"),
    [
        (Scope.DOMAIN, {Kinship.SAME_DOMAIN}),
        (Scope.ORGANISATION, {Kinship.SAME_DOMAIN, Kinship.SAME_ORGANISATION}),
        (Scope.PLATFORM, {Kinship.SAME_DOMAIN, Kinship.SAME_ORGANISATION, Kinship.SAME_PLATFORM}),
    ],
)
def test_r1_each_scope_takes_in_the_nearer_ones(scope: Scope, inside: set[Kinship]):
    policy = Policy(scope=scope)
    assert {kinship for kinship in Kinship if kinship <= policy.furthest_in_scope} == inside


def test_the_document_has_every_switch_with_its_default():
    section = DOCUMENT.read_text(encoding="utf-8").partition("\n## Policies\n")[2].partition("\n## ")[0]
    told = [line.split(" | ")[:2] for line in section.splitlines() if line.startswith("| `")]
    assert told == [
        [f"| `{name}`", f"`{value if isinstance(value, str) else json.dumps(value)}`"]
        for name, value in Policy().to_mapping().items()
    ]
