"""Blows that last for some operations, or that wait until somebody comes to where they lie; each ends with its block.

What a block gives tells whether the blow has fallen by now.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import redis

from mailrecall.embedded.deadlines import poll
from mailrecall.settings import Settings
from tests.chaos.hunt import Hunt
from tests.fault.scene import away
from tests.severing import Cut

Fallen = Callable[[], bool]
Blow = Callable[[Hunt], AbstractContextManager[Fallen]]
UrlOf = Callable[[Settings], str]


def database_away(url_of: UrlOf, beside: UrlOf) -> Blow:
    """Let a database refuse everybody, and throw out who is in; `beside` is another one on the same server."""

    @contextmanager
    def strike(hunt: Hunt) -> Iterator[Fallen]:
        settings = hunt.session.settings
        with away(url_of(settings), beside(settings)):
            yield lambda: True

    return strike


def away_past_the_deadline(shard: int, away: Blow) -> Blow:
    """Let a shard be away until every recall that waits for it has given up on it (R9)."""

    @contextmanager
    def strike(hunt: Hunt) -> Iterator[Fallen]:
        def given_up() -> bool:
            return not hunt.patiently(lambda: _waiting_for(hunt, shard))

        with away(hunt) as fallen:
            yield fallen
            assert poll(given_up, timeout=120, pause=0.5), f"nobody gave up on shard {shard}"

    return strike


def _waiting_for(hunt: Hunt, shard: int) -> int:
    with hunt.databases.control() as connection:
        row = connection.execute(
            "SELECT count(*) FROM recall r LEFT JOIN recall_batch b ON b.recall_id = r.id AND b.shard = %s"
            " WHERE r.state = 'accepted' OR r.state = 'running' AND b.state = 'pending'",
            (shard,),
        ).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def broker_full(hunt: Hunt) -> Iterator[Fallen]:
    """Let the broker have no memory left."""

    def freed() -> bool:
        with suppress(redis.RedisError), redis.Redis.from_url(hunt.session.settings.broker_url) as broker:
            return bool(broker.config_set("maxmemory", "0"))
        return False

    try:
        with redis.Redis.from_url(hunt.session.settings.broker_url) as broker:
            broker.config_set("maxmemory", "1")
        yield lambda: True
    finally:
        assert poll(freed, timeout=60, pause=0.5), "the broker did not come back"


def point(name: str) -> Blow:
    """Kill whoever comes to a fault point first (mailrecall.faultpoints)."""

    @contextmanager
    def strike(hunt: Hunt) -> Iterator[Fallen]:
        file = hunt.fault_points / name
        file.touch()
        try:
            yield lambda: not file.exists()
        finally:
            file.unlink(missing_ok=True)

    return strike


def partition(shard: int, application: str, cut: Cut) -> Blow:
    """Cut the wire between a kind of process and a shard when a COMMIT was sent: nobody knows what became of it."""

    @contextmanager
    def strike(hunt: Hunt) -> Iterator[Fallen]:
        wire = hunt.wires[shard]
        wire.was_cut.clear()
        wire.arm(cut, of=application)
        try:
            yield wire.was_cut.is_set
        finally:
            wire.disarm()

    return strike


def at_once(strike: Callable[[Hunt], None]) -> Blow:
    """Make a blow that is over as soon as it has fallen one of these."""

    @contextmanager
    def struck(hunt: Hunt) -> Iterator[Fallen]:
        strike(hunt)
        yield lambda: True

    return struck
