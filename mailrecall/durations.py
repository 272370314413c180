"""Durations as people read them: 0.2 sec, 4 min, 1 hr, 2 min; in Chinese 0.2秒, 4分钟, 1小时2分钟."""

from datetime import timedelta
from typing import Final

from babel import Locale
from babel.lists import format_list
from babel.units import format_unit

_UNITS: Final = (("duration-day", 86_400), ("duration-hour", 3600), ("duration-minute", 60), ("duration-second", 1))
_TENTHS_BELOW: Final = 60
_HUNDREDTHS_BELOW: Final = 1


def written(duration: timedelta, locale: Locale) -> str:
    """Write a duration in its two largest units; below a minute with a decimal, below a second with two."""
    seconds = duration.total_seconds()
    decimals = 2 if seconds < _HUNDREDTHS_BELOW else 1 if seconds < _TENTHS_BELOW else 0
    seconds = round(seconds, decimals)
    if seconds < _TENTHS_BELOW:
        return _unit(seconds, "duration-second", locale)
    largest = next(at for at, (_unit_name, length) in enumerate(_UNITS) if seconds >= length)
    two = _UNITS[largest : largest + 2]
    # in whole ones of the smaller: an hour less a second is an hour, not 59 minutes and 60 seconds
    smallest = two[-1][1]
    left = round(seconds / smallest) * smallest
    parts = []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count:
            parts.append(_unit(count, unit, locale))
    return str(format_list(parts, style="unit", locale=locale))


def _unit(value: float, unit: str, locale: Locale) -> str:
    return str(format_unit(value, unit, "short", format="#,##0.##", locale=locale))
