"""The reconciler: has overdue work published again, and gives up on shards that did not answer in time.

Beat starts it every few seconds. It holds the house together when the broker lost what it had, when a worker died with
its tasks, and when a shard stays away; it needs nothing but the control database.
"""

from datetime import datetime, timedelta

from mailrecall import faultpoints, logs
from mailrecall.domain.recalls import State
from mailrecall.faultpoints import Commit
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.recalls import progress, undoing
from mailrecall.settings import Settings
from mailrecall.shards.moving import end_interrupted
from mailrecall.wiring import Process
from services.recall.requesting import lapse_overdue, revive_stuck

log = logs.get(__name__)

_STUCK_AFTER = timedelta(minutes=1)


def reconcile(process: Process[Settings], *, now: datetime) -> None:
    """Reconcile what should happen with what does."""
    _publish_again(process, now=now)
    _give_up_overdue(process, now=now)
    lapse_overdue(process, now=now)
    revive_stuck(process, before=now - _STUCK_AFTER, now=now)
    _revive_stuck(process, now=now)
    # last, because it may wait for a shard; the mailboxes of a dead mover are closed until it is done
    if ended := end_interrupted(process.settings, process.databases, now=now):
        log.warning("reconcile.moves_ended", count=ended)


def _publish_again(process: Process[Settings], *, now: datetime) -> None:
    with process.databases.control() as connection:
        again = outbox.publish_again(connection, now=now, lease=process.settings.outbox_lease)
        if again:
            faultpoints.before(Commit.PUBLISH_AGAIN)
    if again:
        faultpoints.after(Commit.PUBLISH_AGAIN)
        log.warning("reconcile.published_again", count=again)


def _give_up_overdue(process: Process[Settings], *, now: datetime) -> None:
    # a statement that was sent before the deadline may still commit after it: wait for its time-out too
    answer_by = now - timedelta(seconds=process.settings.statement_timeout)
    with process.databases.control() as connection:
        late = progress.overdue(connection, answer_by=answer_by)
    for recall_id in late:
        with process.databases.control() as connection:
            given_up = progress.give_up(connection, recall_id, now=now)
            if given_up:
                faultpoints.before(Commit.GIVE_UP)
        if given_up:
            faultpoints.after(Commit.GIVE_UP)
            log.warning("recall.shards_unreachable", recall_id=recall_id, batches=given_up)


def _revive_stuck(process: Process[Settings], *, now: datetime) -> None:
    """Give recalls that lost their work new work: an operator may have deleted outbox rows that looked dead."""
    with process.databases.control() as connection:
        stuck = progress.stuck(connection, before=now - _STUCK_AFTER)
        for recall_id, state in stuck:
            todo = [work.plan(recall_id)] if state is State.ACCEPTED else progress.work_left(connection, recall_id)
            outbox.add(connection, todo, due_at=now)
            log.error("reconcile.revived", recall_id=recall_id, state=state.value)
        lost = undoing.stuck(connection, before=now - _STUCK_AFTER)
        outbox.add(connection, lost, due_at=now)
        if stuck or lost:
            faultpoints.before(Commit.REVIVE)
    if stuck or lost:
        faultpoints.after(Commit.REVIVE)
    if lost:
        log.error("reconcile.undos_revived", count=len(lost))
