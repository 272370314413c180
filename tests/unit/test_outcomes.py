"""R9: the closed set of outcomes, the order in which facts win, and the counts."""

from itertools import product

import pytest

from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import BLOCKING_FACTS, ELIGIBILITY, Outcome, Tally, decide, outcome_case_sql

# Written out by hand from R9, not taken from the code: this is what the ledgers of years ago mean.
STORED_NUMBERS = {
    "recalled": 1,
    "already_read": 2,
    "attachment_downloaded": 3,
    "forwarded": 4,
    "fetched_by_pop3": 5,
    "external": 6,
    "gone": 7,
    "vetoed": 8,
    "unreachable": 9,
}

# R9: when several apply, the first wins.
ORDER = [
    (Fact.READ, Outcome.ALREADY_READ),
    (Fact.ATTACHMENT_DOWNLOADED, Outcome.ATTACHMENT_DOWNLOADED),
    (Fact.FORWARDED, Outcome.FORWARDED),
    (Fact.FETCHED_BY_POP3, Outcome.FETCHED_BY_POP3),
    (Fact.DELETED, Outcome.GONE),
]
PAIRS = [(stronger, weaker) for i, stronger in enumerate(ORDER) for weaker in ORDER[i + 1 :]]


@pytest.mark.rule(9)
def test_r9_outcomes_are_a_closed_set_with_fixed_numbers():
    assert {outcome.slug: outcome.value for outcome in Outcome} == STORED_NUMBERS


@pytest.mark.rule(9)
@pytest.mark.parametrize("slug", STORED_NUMBERS)
def test_r9_outcome_names_lead_back_to_the_outcome(slug: str):
    assert Outcome.from_slug(slug).slug == slug


@pytest.mark.rule(9)
def test_r9_there_is_no_other_outcome():
    with pytest.raises(KeyError):
        Outcome.from_slug("lost")


@pytest.mark.rule(2, 9)
def test_r2_r9_an_untouched_copy_is_recalled():
    assert decide(Fact(0)) is Outcome.RECALLED


@pytest.mark.rule(9)
def test_r9_a_copy_that_is_not_there_is_gone():
    assert decide(None) is Outcome.GONE


@pytest.mark.rule(2, 4, 5, 7, 9)
@pytest.mark.parametrize(("fact", "outcome"), ORDER, ids=lambda value: value.name)
def test_r2_r4_r5_r7_each_fact_alone_keeps_the_copy(fact: Fact, outcome: Outcome):
    assert decide(fact) is outcome


@pytest.mark.rule(9)
@pytest.mark.parametrize(("stronger", "weaker"), PAIRS, ids=lambda pair: pair[0].name)
def test_r9_of_every_pair_of_facts_the_first_in_order_wins(
    stronger: tuple[Fact, Outcome], weaker: tuple[Fact, Outcome]
):
    assert decide(stronger[0] | weaker[0]) is stronger[1]


@pytest.mark.rule(9)
@pytest.mark.parametrize("present", list(product([False, True], repeat=len(ORDER))), ids=str)
def test_r9_every_combination_of_facts_follows_the_order(present: tuple[bool, ...]):
    facts = Fact(sum(fact for (fact, _), there in zip(ORDER, present, strict=True) if there))
    first = next((outcome for (_, outcome), there in zip(ORDER, present, strict=True) if there), Outcome.RECALLED)
    assert decide(facts) is first


@pytest.mark.rule(9)
def test_r9_the_table_knows_every_fact_once():
    assert [fact for fact, _ in ELIGIBILITY] == [fact for fact, _ in ORDER]
    assert {fact for fact, _ in ELIGIBILITY} == set(Fact)
    assert set(Fact) == set(BLOCKING_FACTS)


@pytest.mark.rule(9)
def test_r9_the_sql_names_the_facts_in_the_order_of_the_table():
    assert outcome_case_sql("c.facts") == (
        "CASE WHEN c.facts & 1 <> 0 THEN 2 WHEN c.facts & 2 <> 0 THEN 3 WHEN c.facts & 4 <> 0 THEN 4"
        " WHEN c.facts & 8 <> 0 THEN 5 WHEN c.facts & 16 <> 0 THEN 7 ELSE 1 END"
    )


def test_a_tally_leaves_zeroes_out_and_counts_what_is_left():
    tally = Tally.of({Outcome.GONE: 2, Outcome.RECALLED: 5, Outcome.VETOED: 0})
    assert tally.as_slugs() == {"recalled": 5, "gone": 2}
    assert list(tally.as_slugs()) == ["recalled", "gone"]
    assert (tally.total, tally[Outcome.VETOED], tally[Outcome.RECALLED]) == (7, 0, 5)


def test_tallies_add_up():
    one = Tally.of({Outcome.RECALLED: 1, Outcome.GONE: 1})
    other = Tally.of({Outcome.RECALLED: 2, Outcome.EXTERNAL: 4})
    assert one + other == Tally.of({Outcome.RECALLED: 3, Outcome.GONE: 1, Outcome.EXTERNAL: 4})


def test_a_tally_of_an_unknown_outcome_is_an_error():
    with pytest.raises(KeyError):
        Tally.from_slugs({"lost": 1})
