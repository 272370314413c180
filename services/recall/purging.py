"""R26: the purge, when a recall's retention is over. Beat starts it; each run does a bounded amount of work.

A run that dies leaves what it had not done for the next one: every step is a small transaction of its own, and says by
what is gone how far it got.
"""

from datetime import datetime, timedelta

import psycopg
from psycopg_pool import PoolTimeout

from mailrecall import faultpoints, logs
from mailrecall.faultpoints import Commit
from mailrecall.mailstore import purging as mailstore
from mailrecall.mailstore.residence import enter_batches
from mailrecall.recalls import purging
from mailrecall.recalls.purging import Due
from mailrecall.settings import Settings
from mailrecall.wiring import Process

log = logs.get(__name__)

_RECALLS = 100
"""Recalls that one run looks at."""
_STEPS = 200
"""Transactions on shards that one run makes at most."""
_ROWS = 1000
"""Rows of each kind in one of them."""
_HELD_AGAIN = timedelta(days=1)
"""When to look again at what a legal hold keeps; lifting one has it looked at at once."""


def purge(process: Process[Settings], *, now: datetime) -> None:
    """Purge what is due, as much as one run may."""
    with process.databases.control() as connection:
        ripe = purging.ripe(connection, now=now, limit=_RECALLS)
    for recall_id in ripe:
        with process.databases.control() as connection:
            begun = purging.begin(connection, recall_id, now=now)
            if begun:
                faultpoints.before(Commit.PURGE_BEGIN)
        if begun:
            faultpoints.after(Commit.PURGE_BEGIN)
            log.info("recall.purging", recall_id=recall_id)
    with process.databases.control() as connection:
        due = purging.due(connection, now=now, limit=_RECALLS)
    steps = _STEPS
    for recall in due:
        if steps <= 0:
            log.info("purge.goes_on", recalls=len(due))
            return
        steps -= _purge_recall(process, recall, steps, now=now)


def _purge_recall(process: Process[Settings], recall: Due, steps: int, *, now: datetime) -> int:
    """Purge one recall from all its shards; return how many steps that took."""
    taken, complete, held = 0, True, False
    with process.databases.control() as connection:
        moved = purging.last_move(connection)
    for shard in recall.shards:
        if shard in process.settings.removed_shards:
            continue  # with everything on it
        try:
            while True:
                if taken >= steps:
                    return taken
                taken += 1
                rows, all_gone = _step(process, recall, shard)
                if not rows:
                    held |= not all_gone
                    break
        except (psycopg.OperationalError, PoolTimeout, LookupError) as error:
            log.warning("purge.shard_silent", recall_id=recall.recall_id, shard=shard, failure=type(error).__name__)
            complete = False
    if not complete:
        # behind all others that are due: so many wait for a shard that is away that no other would have its turn
        pause = timedelta(seconds=process.settings.purge_every)
        with process.databases.control() as connection:
            purging.record(connection, recall.recall_id, again_at=now + pause)
            faultpoints.before(Commit.PURGE_RECORD)
        faultpoints.after(Commit.PURGE_RECORD)
        return taken
    with process.databases.control() as connection:
        again_at = now + _HELD_AGAIN if held else None
        if moved is None or purging.last_move(connection) != moved:
            # some of it may have gone from a shard not yet visited to one that was
            again_at = now
        purging.record(connection, recall.recall_id, again_at=again_at)
        faultpoints.before(Commit.PURGE_RECORD)
    faultpoints.after(Commit.PURGE_RECORD)
    log.info("recall.purged", recall_id=recall.recall_id, once_more=again_at == now)
    return taken


def _step(process: Process[Settings], recall: Due, shard: int) -> tuple[int, bool]:
    """Purge some rows on one shard and, once there are none, the rest; return how many, and whether all is gone."""
    with process.databases.control() as control:
        # open until the shard has committed, so that no legal hold slips in between, and no other recall
        held = purging.held(control)
        recalls = purging.recalls_of(control, recall.message_id)
        kept = purging.kept_out_of(control, recall.recall_id, shard, held)
        with process.databases.shard(shard) as connection:
            # what arrives by a move must not lose the content that it found here
            enter_batches(connection, recall.message_id)
            rows = mailstore.purge_ledger(connection, recall.recall_id, held, limit=_ROWS)
            all_gone = False
            if not rows:
                messages = [recall.message_id, *([recall.notice_id] if recall.notice_id else [])]
                content_too = recall.delivered and not kept
                all_gone = mailstore.purge_rest(
                    connection, recall.recall_id, messages, recalls, content_too=content_too
                )
            faultpoints.before(Commit.PURGE)
        faultpoints.after(Commit.PURGE)
    # what is still being delivered keeps its content until then
    return rows, all_gone and not kept and recall.delivered
