"""R20: moments as people give them: with an offset of their own, or as clocks show them in a time zone."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


class MomentError(ValueError):
    """It is no moment, or one that nobody can tell without a time zone; the message says what would be right."""


def read_zone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name such as `Asia/Shanghai`.

    Raises:
        MomentError: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise MomentError("There is no such time zone; give its IANA name, such as Asia/Shanghai.") from None


def read_moment(text: str, zone: ZoneInfo | None = None, *, end: bool = False) -> datetime:
    """Read a moment in ISO 8601: with an offset, or as a local time or a date of a zone.

    Args:
        text: such as `2026-03-01T09:30+08:00`, or with a zone `2026-03-01T09:30` or `2026-03-01`.
        zone: what a time without an offset means; an offset of its own goes before it.
        end: a date means the end of that day, not its beginning.

    Returns:
        the moment in UTC. A local time that a clock shows twice is the first of the two.

    Raises:
        MomentError: it is none, or has neither offset nor zone.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise MomentError("Must be a time such as 2026-03-01T09:30+08:00.") from None
    else:
        try:
            moment = datetime.combine(day + timedelta(days=end), time.min)
        except OverflowError:
            raise MomentError("Must be a time between 1970 and 9000.") from None
    if moment.tzinfo is None:
        if zone is None:
            raise MomentError("Say in which time zone: with an offset, as in 2026-03-01T09:30+08:00, or with zone.")
        moment = moment.replace(tzinfo=zone)
    try:
        moment = moment.astimezone(UTC)
    except (OverflowError, ValueError):
        raise MomentError("Must be a time between 1970 and 9000.") from None
    if not _EARLIEST <= moment <= _LATEST:
        raise MomentError("Must be a time between 1970 and 9000.")
    return moment
