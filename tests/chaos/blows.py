"""What befalls the stack: each blow comes without warning, and the stack is to get over it by itself."""

import os
import signal
from collections.abc import Callable, Mapping

import psycopg
import redis

from mailrecall.embedded.processes import BEAT, GATEWAY, IMAP, INTAKE, POP3, RELAY, WORKERS
from mailrecall.settings import Settings
from tests.fault.scene import Scene

SERVICES = (*WORKERS, GATEWAY, INTAKE, IMAP, POP3, RELAY, BEAT)
PROCESSES = (*SERVICES, "valkey", "postgres")


def _kill(process: str) -> Callable[[Scene], None]:
    return lambda scene: scene.kill(process)


def _kill_child(worker: str) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        family = scene.session.processes().get(worker, [])
        if len(family) > 1:
            os.kill(family[-1], signal.SIGKILL)

    return strike


def _empty_broker(scene: Scene) -> None:
    with redis.Redis.from_url(scene.session.settings.broker_url) as broker:
        broker.flushall()


def _cut_connections(url_of: Callable[[Settings], str]) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        with psycopg.connect(url_of(scene.session.settings), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    return strike


BLOWS: Mapping[str, Callable[[Scene], None]] = {
    **{f"kill {process}": _kill(process) for process in PROCESSES},
    **{f"kill a child of {worker}": _kill_child(worker) for worker in WORKERS},
    "empty the broker": _empty_broker,
    "cut all connections to the control database": _cut_connections(lambda settings: settings.control_url),
    "cut all connections to shard 0": _cut_connections(lambda settings: settings.shard_urls[0]),
    "cut all connections to shard 1": _cut_connections(lambda settings: settings.shard_urls[1]),
}


def strike(scene: Scene, name: str) -> bool:
    """Strike; False when what is to be struck is still down from the blow before."""
    try:
        BLOWS[name](scene)
    except (psycopg.OperationalError, redis.RedisError, ProcessLookupError, KeyError):
        return False
    return True


PLANTED = """
CREATE OR REPLACE FUNCTION forget_reads() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.facts := NEW.facts & ~1; RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER planted BEFORE UPDATE ON copy FOR EACH ROW WHEN (NEW.mailbox_id % 3 = 0)
EXECUTE FUNCTION forget_reads()
"""
"""A bug on purpose: every third mailbox forgets that something was read. The machine has to find it."""


def plant(scene: Scene) -> None:
    """Plant the bug on every shard."""
    for shard in scene.databases.shards:
        with scene.databases.shard(shard) as connection:
            connection.execute(PLANTED)
