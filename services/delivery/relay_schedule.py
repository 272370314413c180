"""When mail that the smarthost put off is tried again (RFC 5321 section 4.5.4.1): soon, then ever less often."""

from datetime import datetime, timedelta

SHORTEST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)


def next_attempt(since: datetime, *, now: datetime, give_up_at: datetime) -> datetime:
    """Return when to try again; each pause is as long as all before it together, between half a minute and an hour.

    Args:
        since: when the message was first to be relayed.
        now: the present moment, of an attempt that did not succeed.
        give_up_at: when the last attempt is made; never later than this.
    """
    pause = min(max(now - since, SHORTEST_PAUSE), LONGEST_PAUSE)
    return max(min(now + pause, give_up_at), now)
