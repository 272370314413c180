"""How fast a recall went, as bars of a page."""

from datetime import timedelta

import pytest

from mailrecall.domain.pace import Extent, Pace, pace_of
from services.gateway.pages import charts
from services.gateway.pages.charts import Bars

SECOND = timedelta(seconds=1)


def drawn(pace: Pace) -> Bars:
    bars = charts.bars(pace)
    assert bars is not None
    return bars


def test_nothing_is_drawn_of_a_recall_without_a_pace():
    assert charts.bars(None) is None


def test_a_bar_stands_where_its_stretch_lies():
    chart = drawn(pace_of(Extent(3600 * SECOND, 8), 600 * SECOND, {0: 90_000, 6: 30_000}))
    assert chart.width == 70
    assert [(bar.count, bar.since // SECOND, bar.until // SECOND) for bar in chart.bars] == [
        (90_000, 0, 600),
        (30_000, 3600, 4200),
    ]
    first, last = chart.bars
    assert 0 < first.x < first.x + first.width < charts.STEP
    assert 60 < last.x < last.x + last.width < chart.width
    assert first.height == charts.HIGHEST
    assert last.height == pytest.approx(charts.HIGHEST / 3, abs=0.01)


@pytest.mark.parametrize("counts", [{0: 1, 4: 1}, {0: 1, 3: 1_000_000}, {n: 10**n for n in range(8)}])
def test_what_is_not_nothing_is_seen_and_nothing_is_higher_than_the_highest(counts: dict[int, int]):
    chart = drawn(pace_of(Extent(max(counts) * SECOND, 9), SECOND, counts))
    assert [bar.count for bar in chart.bars] == list(counts.values())
    assert min(bar.height for bar in chart.bars) >= 1
    assert max(bar.height for bar in chart.bars) == charts.HIGHEST
