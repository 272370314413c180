"""Placement of new mailboxes on shards."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mailrecall.directory.placement import spread

SHARDS = st.dictionaries(st.integers(0, 9), st.integers(0, 50), min_size=1)


def test_mailboxes_go_round_when_all_shards_are_alike():
    assert spread({2: 5, 0: 5, 1: 5}, 7) == [0, 1, 2, 0, 1, 2, 0]


def test_a_new_shard_is_filled_first():
    assert spread({0: 3, 1: 3, 2: 0}, 5) == [2, 2, 2, 0, 1]


@given(SHARDS, st.integers(0, 200))
def test_the_fullest_of_those_that_got_some_is_no_fuller_than_need_be(filled, new):
    placed = Counter(spread(filled, new))
    after = {shard: mailboxes + placed[shard] for shard, mailboxes in filled.items()}
    assert sum(after.values()) == sum(filled.values()) + new
    assert all(after[shard] <= min(after.values()) + 1 for shard in placed)


@given(SHARDS, st.integers(0, 50), st.integers(0, 50))
def test_placing_at_once_or_one_after_the_other_is_the_same(filled, first, second):
    before = spread(filled, first)
    counts = Counter(before)
    between = {shard: mailboxes + counts[shard] for shard, mailboxes in filled.items()}
    assert before + spread(between, second) == spread(filled, first + second)
