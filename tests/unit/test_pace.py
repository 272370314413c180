"""How a recall's time is divided for a chart of it, and how durations are written."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from babel import Locale

from mailrecall.domain.pace import FEWEST_INSTANTS, MOST_STRETCHES, Extent, pace_of, stretch_of
from mailrecall.durations import written

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("took", "instants", "stretch"),
    [
        # one range, and two: the words say it all
        (4 * SECOND, 1, None),
        (4 * SECOND, 2, None),
        # no time at all
        (timedelta(0), 40, None),
        (0.009 * SECOND, 40, None),
        (0.01 * SECOND, 40, 0.01 * SECOND),
        # no more bars than instants
        (4.2 * SECOND, 3, 2 * SECOND),
        (4.2 * SECOND, 5, SECOND),
        (4.2 * SECOND, 9, 0.5 * SECOND),
        (4.2 * SECOND, 67, 0.2 * SECOND),
        # a stretch begins where the one before ends
        (29.9 * SECOND, 67, SECOND),
        (30 * SECOND, 67, 2 * SECOND),
        # a shard was away for an hour, or for days
        (HOUR, 8, 10 * MINUTE),
        (HOUR, 67, 5 * MINUTE),
        (15 * DAY, 67, DAY),
        (100 * DAY, 67, 4 * DAY),
        (4 * DAY, 3, 2 * DAY),
    ],
)
def test_a_stretch_is_what_people_count_in(took: timedelta, instants: int, stretch: timedelta | None):
    assert stretch_of(Extent(took, instants)) == stretch


@pytest.mark.parametrize("instants", [FEWEST_INSTANTS, 7, MOST_STRETCHES, 70_000])
def test_there_is_room_for_every_stretch(instants: int):
    took = 0.001 * SECOND
    while took < 1000 * DAY:
        extent = Extent(took, instants)
        if (stretch := stretch_of(extent)) is not None:
            pace = pace_of(extent, stretch, {0: 1})
            assert 2 <= len(pace.done) <= min(MOST_STRETCHES, instants), extent
            assert pace.end - stretch <= took < pace.end
        took *= 1.07


@pytest.mark.parametrize(
    ("took", "stretch", "done", "row"),
    [
        # all in one instant, after a while: what was waited for is seen
        (3.5 * SECOND, SECOND, {3: 1200}, (0, 0, 0, 1200)),
        # the gap of a shard that was away
        (HOUR, 10 * MINUTE, {0: 105_000, 6: 15_000}, (105_000, 0, 0, 0, 0, 0, 15_000)),
        (4.2 * SECOND, SECOND, dict.fromkeys(range(5), 200_000), (200_000,) * 5),
    ],
)
def test_stretches_in_which_nothing_was_done_have_their_place(
    took: timedelta, stretch: timedelta, done: Mapping[int, int], row: tuple[int, ...]
):
    pace = pace_of(Extent(took, 9), stretch, done)
    assert pace.done == row
    assert sum(pace.done) == sum(done.values())
    assert pace.most == max(done.values())
    assert (pace.took, pace.end) == (took, stretch * len(row))


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0, "0 sec", "0秒"),
        (0.05, "0.05 sec", "0.05秒"),
        (0.204, "0.2 sec", "0.2秒"),
        (4.24, "4.2 sec", "4.2秒"),
        (59.96, "1 min", "1分钟"),
        (61, "1 min, 1 sec", "1分钟1秒"),
        (3599.9, "1 hr", "1小时"),
        (3725, "1 hr, 2 min", "1小时2分钟"),
        (86399, "1 day", "1天"),
        (266_400, "3 days, 2 hr", "3天2小时"),
    ],
)
def test_durations_are_written_in_two_units_at_most(seconds: float, english: str, chinese: str):
    duration = timedelta(seconds=seconds)
    assert written(duration, Locale.parse("en")) == english
    assert written(duration, Locale.parse("zh_Hans_CN")) == chinese
