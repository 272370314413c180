"""Whoever moves mailboxes between the two shards, and dies of it now and then."""

from enum import Enum, auto

import psycopg
from psycopg_pool import PoolTimeout

from mailrecall import clock
from mailrecall.directory.lookup import account_by_id
from mailrecall.shards import moving
from mailrecall.shards.carrying import SupersededError
from mailrecall.shards.errors import ShardError
from tests.fault.scene import Scene
from tests.moving import Killed

DEATHS = [f"kill the mover, {step}" for step in moving.STEPS]


class Ended(Enum):
    """What came of a move."""

    MOVED = auto()
    FAILED = auto()
    """Something was away or in use: the mailbox is where it was, or will be moved to the end by somebody else."""
    DIED = auto()


def move(scene: Scene, mailbox_id: int, dies_at: str | None) -> Ended:
    """Move a mailbox to the other shard.

    Args:
        scene: where.
        mailbox_id: which.
        dies_at: one of `DEATHS`, as if the mover had been killed: it tidies nothing up.
    """

    def reached(step: str) -> None:
        if dies_at == f"kill the mover, {step}":
            raise Killed

    try:
        with scene.databases.control() as connection:
            account = account_by_id(connection, mailbox_id)
        assert account is not None
        with moving.mover(scene.session.settings, scene.databases, reached) as mover:
            mover.move(account.shard, 1 - account.shard, [mailbox_id], now=clock.now())
    except Killed:
        return Ended.DIED
    except (psycopg.Error, PoolTimeout, ShardError, SupersededError):
        return Ended.FAILED
    return Ended.MOVED
