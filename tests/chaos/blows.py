"""What befalls the stack: each blow comes without warning, and the stack is to get over it by itself."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import kombu.exceptions
import psycopg
import redis

from mailrecall.embedded.processes import BEAT, GATEWAY, IMAP, INTAKE, POP3, RELAY, WORKERS
from mailrecall.faultpoints import Commit
from mailrecall.settings import Settings
from tests.chaos import lasting, poison, stepping
from tests.chaos.hunt import Hunt
from tests.chaos.lasting import Blow, Fallen, UrlOf
from tests.severing import Cut

SERVICES = (*WORKERS, GATEWAY, INTAKE, IMAP, POP3, RELAY, BEAT)
PROCESSES = (*SERVICES, "valkey", "postgres")


def _kill(process: str) -> Callable[[Hunt], None]:
    return lambda hunt: hunt.kill(process)


def _kill_child(worker: str) -> Callable[[Hunt], None]:
    def strike(hunt: Hunt) -> None:
        family = hunt.session.processes().get(worker, [])
        if len(family) > 1:
            os.kill(family[-1], signal.SIGKILL)

    return strike


def _empty_broker(hunt: Hunt) -> None:
    with redis.Redis.from_url(hunt.session.settings.broker_url) as broker:
        broker.flushall()


def _cut_connections(url_of: UrlOf) -> Callable[[Hunt], None]:
    def strike(hunt: Hunt) -> None:
        with psycopg.connect(url_of(hunt.session.settings), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    return strike


def _control(settings: Settings) -> str:
    return settings.control_url


def _shard(number: int) -> UrlOf:
    return lambda settings: settings.shard_urls[number]


_DATABASES: Mapping[str, tuple[UrlOf, UrlOf]] = {
    "the control database": (_control, _shard(0)),
    "shard 0": (_shard(0), _control),
    "shard 1": (_shard(1), _control),
}
"""Each database, and one beside it."""

OF_UNDO = {Commit.RESTORE, Commit.RESTORE_RECORD}
OF_ALL_OR_NOTHING = {Commit.PREPARE, Commit.PREPARE_RECORD, Commit.DECIDE, Commit.RELEASE}
RARELY_REACHED = {
    *(Commit.PURGE_BEGIN, Commit.PURGE, Commit.PURGE_RECORD),
    *(Commit.MEND, Commit.MEND_RECORD),
    *(Commit.FORWARD, Commit.BOUNCE),
    *(Commit.RELAY, Commit.REFUSE, Commit.RELAY_RECORD),
    *(Commit.ADMIT, Commit.LAPSE),
    *(Commit.PUBLISH_AGAIN, Commit.GIVE_UP, Commit.REVIVE),
}
"""A purge is days away, and these people know nobody outside, have no forwarding rules and never leave. They ask for
few messages at once, while hardly any is being delivered; and what is to be reconciled, other blows leave behind."""


def points(*, atomic: bool) -> list[str]:
    """Name the fault points that somebody comes to as a rule: at any other, a blow would wait in vain."""
    never = RARELY_REACHED | (set() if atomic else OF_ALL_OR_NOTHING)
    return [f"kill {when} {commit.value}" for commit in Commit if commit not in never for when in ("before", "after")]


def commit_of(name: str) -> Commit | None:
    """Return the commit at which a blow kills, if it is such a one."""
    _kill, when, commit = [*name.split(" "), "", ""][:3]
    return Commit(commit) if when in ("before", "after") else None


KINDS: Mapping[str, Mapping[str, Blow]] = {
    "a process killed": {
        **{f"kill {process}": lasting.at_once(_kill(process)) for process in PROCESSES},
        **{f"kill a child of {worker}": lasting.at_once(_kill_child(worker)) for worker in WORKERS},
    },
    "a worker killed at a named point": {
        name: lasting.point(name.removeprefix("kill ").replace(" ", "_")) for name in points(atomic=True)
    },
    "the broker emptied": {"empty the broker": lasting.at_once(_empty_broker)},
    "the broker out of memory": {"the broker out of memory": lasting.broker_full},
    "connections cut": {
        f"cut all connections to {name}": lasting.at_once(_cut_connections(url_of))
        for name, (url_of, _) in _DATABASES.items()
    },
    "a database away": {
        f"{name} away": lasting.database_away(url_of, beside) for name, (url_of, beside) in _DATABASES.items()
    },
    "a shard away past the deadline": {
        f"shard {shard} away past the deadline": lasting.away_past_the_deadline(
            shard, lasting.database_away(_shard(shard), _control)
        )
        for shard in (0, 1)
    },
    "an outcome unknown": {
        f"cut {application} from shard {shard} {cut.value} a COMMIT arrived": lasting.partition(shard, application, cut)
        for application in ("delivery", "recall")
        for shard in (0, 1)
        for cut in Cut
    },
    "clocks stepped": stepping.KINDS,
    "poison": {name: lasting.at_once(strike) for name, strike in poison.KINDS.items()},
}
"""All blows but the mover's death, by kind."""

WEIGHTS = {"a process killed": 4, "a worker killed at a named point": 6, "an outcome unknown": 2}
"""How often a kind comes for each time that another one does."""

AT_ONCE = {
    name for kind in ("a process killed", "the broker emptied", "connections cut", "poison") for name in KINDS[kind]
}
"""What is over as soon as it has fallen."""
IN_WAIT = {name for kind in ("a worker killed at a named point", "an outcome unknown") for name in KINDS[kind]}
"""What falls when somebody comes."""
PAST_THE_DEADLINE = frozenset(KINDS["a shard away past the deadline"])


@dataclass(slots=True)
class Struck:
    """A blow that lasts, or has yet to fall."""

    name: str
    fallen: Fallen
    _ending: ExitStack = field(default_factory=ExitStack)

    def lay_in_wait_and_fell(self) -> bool:
        """Tell whether it hit whom it waited for, so that it is over."""
        return self.name in IN_WAIT and self.fallen()

    def end(self) -> bool:
        """End it; False when nobody was hit."""
        with self._ending:
            return self.fallen()


def strike(hunt: Hunt, name: str) -> Struck | None:
    """Strike; None when what is to be struck is still down from the blow before."""
    blow = next(blows[name] for blows in KINDS.values() if name in blows)
    with ExitStack() as ending:
        try:
            fallen = ending.enter_context(blow(hunt))
        except (psycopg.OperationalError, redis.RedisError, OSError, KeyError, kombu.exceptions.OperationalError):
            return None
        return Struck(name, fallen, ending.pop_all())


def next_due(aimed: Counter[str], which: int, *, atomic: bool, restoring: bool) -> str:
    """Choose among the blows that came least often, of the kind that did: what is drawn keeps to few of them.

    Args:
        aimed: how often each came.
        which: what was drawn.
        atomic: whether recalls are all or nothing, so that their points are come to.
        restoring: whether there is something to be undone.
    """
    reached = set(points(atomic=atomic))
    of_undo = {name for name in reached if not restoring and commit_of(name) in OF_UNDO}
    possible: dict[str, Sequence[str]] = {
        kind: [name for name in sorted(blows) if commit_of(name) is None or name in reached - of_undo]
        for kind, blows in KINDS.items()
    }
    kind = min(KINDS, key=lambda kind: sum(aimed[name] for name in KINDS[kind]) / WEIGHTS.get(kind, 1))
    return least_struck(aimed, possible[kind], which)


def least_struck(aimed: Counter[str], names: Sequence[str], which: int) -> str:
    """Choose among those that came least often."""
    least = min(aimed[name] for name in names)
    candidates = [name for name in names if aimed[name] == least]
    return candidates[which % len(candidates)]


PLANTED = """
CREATE OR REPLACE FUNCTION forget_reads() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.facts := NEW.facts & ~1; RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER planted BEFORE UPDATE ON copy FOR EACH ROW WHEN (NEW.mailbox_id % 3 = 0)
EXECUTE FUNCTION forget_reads()
"""
"""A bug on purpose: every third mailbox forgets that something was read. The machine has to find it."""


def plant(hunt: Hunt) -> None:
    """Plant the bug on every shard."""
    for shard in hunt.databases.shards:
        with hunt.databases.shard(shard) as connection:
            connection.execute(PLANTED)
