"""R30: what makes a message wait."""

import pytest

from mailrecall.domain.audit import Criteria, Hold, Traits, first_match


def traits(*, text: str = "Subject\nText", accounts: int = 0, outside: int = 0) -> Traits:
    return Traits(frozenset({"ada@example.org", "a.l@other.example"}), lambda: (accounts, outside), lambda: text)


@pytest.mark.rule(30)
@pytest.mark.parametrize(
    ("criteria", "message", "held"),
    [
        (Criteria(group_size=10), traits(accounts=9), False),
        (Criteria(group_size=10), traits(accounts=10), True),
        (Criteria(external=True), traits(outside=0), False),
        (Criteria(external=True), traits(outside=1), True),
        (Criteria(sender="ada@example.org"), traits(), True),
        (Criteria(sender="a.l@other.example"), traits(), True),
        (Criteria(sender="bob@example.org"), traits(), False),
        (Criteria(sender="@example.org"), traits(), True),
        (Criteria(sender="@le.org"), traits(), False),
        (Criteria(keyword="Secret Plan"), traits(text="the\nSECRET  plan is"), True),
        (Criteria(keyword="机密"), traits(text="这是机密文件"), True),
        (Criteria(keyword="STRASSE"), traits(text="Straße"), True),
        (Criteria(keyword="secret"), traits(), False),
        (Criteria(keyword="text", external=True), traits(), False),
        (Criteria(keyword="text", external=True), traits(outside=1), True),
        (Criteria(sender="@example.org", group_size=2, keyword="text", external=True), traits(accounts=2), False),
        (
            Criteria(sender="@example.org", group_size=2, keyword="text", external=True),
            traits(accounts=2, outside=1),
            True,
        ),
    ],
)
def test_r30_a_message_meets_a_rule_that_it_meets_in_everything(criteria: Criteria, message: Traits, held: bool):
    assert first_match([("rule", criteria)], message) == ("rule" if held else None)


def test_the_first_rule_that_is_met_is_named():
    rules = [
        ("no", Criteria(keyword="nothing")),
        ("one", Criteria(keyword="text")),
        ("two", Criteria(sender="@example.org")),
    ]
    assert first_match(rules, traits()) == "one"
    assert first_match([], traits()) is None


def test_what_no_rule_asks_for_is_not_looked_for():
    def fails() -> str:
        raise AssertionError

    lazy = Traits(frozenset({"ada@example.org"}), lambda: (1, 0), fails)
    assert (
        first_match([("r", Criteria(sender="bob@example.org", keyword="x")), ("s", Criteria(group_size=1))], lazy)
        == "s"
    )


def test_a_rule_that_names_nothing_is_none():
    with pytest.raises(ValueError, match="at least one"):
        Criteria()


def test_what_nobody_will_get():
    assert [hold for hold in Hold if hold.ended] == [Hold.REJECTED, Hold.CANCELLED]
