"""Times with a time zone, as administrators give them (R20)."""

from datetime import UTC, datetime

import pytest

from mailrecall.domain.moments import MomentError, read_moment, read_zone


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    ("text", "zone", "end", "moment"),
    [
        ("2026-03-01T09:30+08:00", None, False, datetime(2026, 3, 1, 1, 30, tzinfo=UTC)),
        ("2026-03-01T09:30Z", None, False, datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01T09:30", "Asia/Shanghai", False, datetime(2026, 3, 1, 1, 30, tzinfo=UTC)),
        # an offset of its own goes first
        ("2026-03-01T09:30Z", "Asia/Shanghai", False, datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        # summer time began on the day before
        ("2026-03-30T12:00", "Europe/Berlin", False, datetime(2026, 3, 30, 10, 0, tzinfo=UTC)),
        # shown twice: the first of the two
        ("2026-10-25T02:30", "Europe/Berlin", False, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("2026-03-01", "Asia/Shanghai", False, datetime(2026, 2, 28, 16, 0, tzinfo=UTC)),
        ("2026-03-01", "Asia/Shanghai", True, datetime(2026, 3, 1, 16, 0, tzinfo=UTC)),
        ("2026-03-01T00:00", "UTC", True, datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_r20_a_moment_is_the_same_for_everybody(text, zone, end, moment):
    assert read_moment(text, read_zone(zone) if zone else None, end=end) == moment


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    ("text", "zone", "complaint"),
    [
        ("2026-03-01T09:30", None, "in which time zone"),
        ("2026-03-01", None, "in which time zone"),
        ("yesterday", "UTC", "such as 2026"),
        ("", "UTC", "such as 2026"),
        ("2026-02-30", "UTC", "such as 2026"),
        ("0001-01-01", "Asia/Shanghai", "between 1970 and 9000"),
        ("9999-12-31", "UTC", "between 1970 and 9000"),
    ],
)
def test_r20_what_is_no_moment_is_refused(text, zone, complaint):
    with pytest.raises(MomentError, match=complaint):
        read_moment(text, read_zone(zone) if zone else None, end=True)


@pytest.mark.rule(20)
@pytest.mark.parametrize("name", ["Beijing", "", "../etc/passwd", "/etc/localtime", "Asia", "\0", "x" * 5000])
def test_r20_a_zone_that_is_none_is_refused(name):
    with pytest.raises(MomentError, match="no such time zone"):
        read_zone(name)
