"""R9: the SQL that shards decide by is the table of the domain, and counts add up in whatever order they arrive."""

from collections.abc import Mapping
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import BLOCKING_FACTS, Outcome, Tally, decide, outcome_case_sql
from mailrecall.postgres.databases import Databases

COUNTS = st.dictionaries(st.sampled_from(Outcome), st.integers(min_value=0, max_value=10**7))
TALLIES = COUNTS.map(Tally.of)


@pytest.mark.rule(2, 4, 5, 7, 9)
def test_r2_r4_r5_r7_r9_the_shards_sql_decides_as_the_domain_does(databases: Databases):
    """Every combination of facts there is, decided by a real PostgreSQL."""
    every = range(sum(Fact) + 1)
    decided = f"{outcome_case_sql('facts')}, facts & %(blocking)s = 0"
    sql = f"SELECT facts, {decided} FROM unnest(%(every)s::smallint[]) AS facts"
    with databases.shard(0) as connection:
        rows = connection.execute(sql.encode(), {"every": list(every), "blocking": BLOCKING_FACTS.value}).fetchall()
    assert len(rows) == 32
    assert {facts: Outcome(outcome) for facts, outcome, _ in rows} == {facts: decide(Fact(facts)) for facts in every}
    assert all(free == (Outcome(outcome) is Outcome.RECALLED) for _, outcome, free in rows)


@pytest.mark.rule(9)
@given(facts=st.integers(0, sum(Fact)), more=st.sampled_from(list(Fact)))
def test_r9_a_further_fact_never_makes_a_copy_recallable_again(facts: int, more: Fact):
    before, after = decide(Fact(facts)), decide(Fact(facts) | more)
    assert after is not Outcome.RECALLED
    if before is not Outcome.RECALLED:
        assert after <= before  # a stronger reason may take over, a weaker one never


@given(parts=st.lists(TALLIES, max_size=4))
def test_tallies_add_up_in_any_order(parts: list[Tally]):
    sums = [sum(order, start=Tally({})) for order in permutations(parts)]
    assert all(each == sums[0] for each in sums)
    assert sums[0].total == sum(part.total for part in parts)


@given(one=TALLIES, two=TALLIES, three=TALLIES)
def test_tallies_may_be_bracketed_at_will(one: Tally, two: Tally, three: Tally):
    assert (one + two) + three == one + (two + three)
    assert one + Tally({}) == one


@given(counts=COUNTS)
def test_a_tally_says_what_it_was_made_of(counts: Mapping[Outcome, int]):
    tally = Tally.of(counts)
    assert all(tally[outcome] == counts.get(outcome, 0) for outcome in Outcome)
    assert all(tally.counts.values())
    assert Tally.from_slugs(tally.as_slugs()) == tally
    assert list(tally.as_slugs()) == [outcome.slug for outcome in Outcome if counts.get(outcome)]
