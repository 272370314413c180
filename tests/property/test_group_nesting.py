"""R13: the check for cycles against plain reachability, on any small graph."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailrecall.domain.groups import GroupCycleError, refuse_cycles

NAMES = "abcdefg"
GRAPHS = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=4))


def reachable(groups: dict[str, list[str]]) -> dict[str, set[str]]:
    """Everything each group contains, by widening until nothing is added."""
    inside = {group: set(members) for group, members in groups.items()}
    while True:
        wider = {g: members.union(*(inside.get(m, set()) for m in members)) for g, members in inside.items()}
        if wider == inside:
            return inside
        inside = wider


@pytest.mark.rule(13)
@given(groups=GRAPHS)
def test_r13_a_cycle_is_found_exactly_when_there_is_one(groups: dict[str, list[str]]):
    inside = reachable(groups)
    if any(group in inside[group] for group in groups):
        with pytest.raises(GroupCycleError) as refused:
            refuse_cycles(groups)
        path = refused.value.path
        assert path[0] == path[-1]
        assert len(set(path)) == len(path) - 1
        assert all(member in groups[group] for group, member in pairwise(path))
    else:
        refuse_cycles(groups)
