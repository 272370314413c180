"""R21: what becomes of requests of many messages after they were made: the rest of their recalls, and lapses."""

from datetime import datetime, timedelta

from mailrecall import faultpoints, logs
from mailrecall.audit import trail
from mailrecall.faultpoints import Commit
from mailrecall.outbox import store as outbox
from mailrecall.recalls import approvals
from mailrecall.recalls.batches import RETRY
from mailrecall.settings import Settings
from mailrecall.wiring import Process

log = logs.get(__name__)


def admit_request(process: Process[Settings], *, request_id: int, work_id: int, now: datetime) -> None:
    """Begin the recalls that could not begin with the request because a deposit held their messages."""
    deadline = timedelta(seconds=process.settings.recall_deadline)
    with process.databases.control() as connection:
        entries, left = approvals.admit_left(connection, request_id, now=now, deadline=deadline)
        if left:
            outbox.put_off(connection, work_id, "messages are being delivered", due_at=now + RETRY)
        else:
            outbox.finish(connection, work_id)
        trail.append_all(connection, entries, now=now)
        faultpoints.before(Commit.ADMIT)
    faultpoints.after(Commit.ADMIT)
    log.info("request.admitted", request_id=request_id, recalls=len(entries), left=left)


def lapse_overdue(process: Process[Settings], *, now: datetime) -> None:
    """Write down which requests nobody approved in time."""
    with process.databases.control() as connection:
        late = approvals.overdue(connection, now=now)
    for request_id in late:
        with process.databases.control() as connection:
            lapsed = approvals.lapse(connection, request_id, now=now)
            if lapsed:
                faultpoints.before(Commit.LAPSE)
        if lapsed:
            faultpoints.after(Commit.LAPSE)
            log.info("request.lapsed", request_id=request_id)


def revive_stuck(process: Process[Settings], *, before: datetime, now: datetime) -> None:
    """Give requests that lost their work new work: an operator may have deleted outbox rows that looked dead."""
    with process.databases.control() as connection:
        stuck = approvals.revive(connection, before=before, now=now)
        if stuck:
            faultpoints.before(Commit.REVIVE)
    if stuck:
        faultpoints.after(Commit.REVIVE)
    for request_id in stuck:
        log.error("request.revived", request_id=request_id)
