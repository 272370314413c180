"""Numbers of the policy's form: what people type is what they mean, or it is refused."""

import pytest

from mailrecall.domain.policy import DAY, HOUR, LONGEST_RETENTION, LONGEST_WINDOW, MOST_COPIES
from services.gateway.pages.console.switches import Number

COPIES = Number(1, 0, MOST_COPIES)
WINDOW = Number(HOUR, 1, LONGEST_WINDOW)
RETENTION = Number(DAY, 0, LONGEST_RETENTION)


@pytest.mark.parametrize(
    ("number", "typed", "meant"),
    [
        (COPIES, "10000", 10_000),
        (COPIES, " 10,000 ", 10_000),
        (COPIES, "1,000,000", 1_000_000),
        (COPIES, "10,00", None),
        (COPIES, "10,0000", None),
        (COPIES, "0,000", None),
        (COPIES, "1,5", None),
        (COPIES, "10.000", None),
        (COPIES, "10.0", None),
        (COPIES, "1e4", None),
        (COPIES, "10 000", None),
        (COPIES, "-1", None),
        (COPIES, "", None),
        (WINDOW, "1.5", 5_400),
        (WINDOW, "1,5", 5_400),
        (WINDOW, "0,125", 450),
        (WINDOW, "1.250", 4_500),
        (WINDOW, "1,250", None),
        (WINDOW, "1,5,0", None),
        (WINDOW, "1e2", None),
        (WINDOW, "1e999999", None),
        (WINDOW, "9e999990", None),
        (WINDOW, "NaN", None),
        (WINDOW, "Infinity", None),
        (WINDOW, "1_0", None),
        (WINDOW, "٣", 10_800),
        (COPIES, "1" * 5_000, None),
        (RETENTION, "0", 0),
        (RETENTION, "7,5", 648_000),
        (RETENTION, "1,000", None),
    ],
)
def test_a_number_is_what_was_meant_or_refused(number: Number, typed: str, meant: int | None):
    assert number.read(typed) == meant
