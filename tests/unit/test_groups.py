"""R13: groups nest and overlap, and a group that would contain itself is refused."""

from itertools import pairwise

import pytest

from mailrecall.domain.groups import GroupCycleError, refuse_cycles


@pytest.mark.rule(13)
@pytest.mark.parametrize(
    "groups",
    [
        {},
        {"all@": []},
        {"all@": ["north@", "south@"], "north@": [], "south@": []},
        # overlapping: two ways to one group
        {"all@": ["north@", "south@"], "north@": ["sales@"], "south@": ["sales@"], "sales@": []},
        # nested and overlapping: a member and its member both named
        {"all@": ["north@", "sales@"], "north@": ["sales@"], "sales@": []},
        {"all@": ["sales@", "north@"], "north@": ["sales@"], "sales@": []},
        # named twice
        {"all@": ["north@", "north@"], "north@": []},
        # a member that the mapping says nothing of
        {"all@": ["elsewhere@"]},
    ],
    ids=len,
)
def test_r13_nested_and_overlapping_groups_are_fine(groups: dict[str, list[str]]):
    refuse_cycles(groups)


@pytest.mark.rule(13)
@pytest.mark.parametrize(
    ("groups", "cycle"),
    [
        ({"a@": ["a@"]}, {"a@"}),
        ({"a@": ["b@"], "b@": ["a@"]}, {"a@", "b@"}),
        ({"a@": ["b@"], "b@": ["c@"], "c@": ["a@"]}, {"a@", "b@", "c@"}),
        # the way into the cycle is not part of it
        ({"top@": ["a@"], "a@": ["b@"], "b@": ["a@"]}, {"a@", "b@"}),
        # not reachable from the first
        ({"fine@": [], "a@": ["b@"], "b@": ["a@"]}, {"a@", "b@"}),
        # behind a branch that ends well
        ({"a@": ["good@", "b@"], "good@": ["end@"], "b@": ["good@", "a@"]}, {"a@", "b@"}),
    ],
    ids=len,
)
def test_r13_a_cycle_is_refused_and_named(groups: dict[str, list[str]], cycle: set[str]):
    with pytest.raises(GroupCycleError) as refused:
        refuse_cycles(groups)
    path = refused.value.path
    assert path[0] == path[-1]
    assert set(path) == cycle
    assert len(path) == len(cycle) + 1
    assert all(member in groups[group] for group, member in pairwise(path))
    assert str(refused.value) == f"A group cannot contain itself: {' → '.join(path)}."


@pytest.mark.rule(13)
def test_r13_nesting_is_not_bounded_by_the_stack():
    depth = 20_000
    chain = {f"{level}@": [f"{level + 1}@"] for level in range(depth)}
    refuse_cycles(chain)
    with pytest.raises(GroupCycleError):
        refuse_cycles(chain | {f"{depth}@": ["0@"]})
