"""Two releases of one worker, for tests of upgrades: TEST_RELEASE says which this process is.

The first takes the argument `message_id`, as today's code does; the second has renamed it to `number`. No earlier
release with other arguments exists yet, so the change between the two is made up, and what handles it is real.
"""

import os
from datetime import datetime
from time import sleep
from typing import Any, cast

from mailrecall.broker import celery_app
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.outbox.running import close_with_worker, register
from mailrecall.outbox.work import Task
from mailrecall.settings import Settings
from mailrecall.wiring import Process, bootstrap_worker

RELEASE = int(os.environ.get("TEST_RELEASE", "1"))


def _done(process: Process[Settings], number: int, work_id: int) -> None:
    # long enough for a worker to be stopped within
    sleep(0.05)
    with process.databases.control() as connection:
        connection.execute(
            "INSERT INTO done_by (work_id, number, release) VALUES (%s, %s, %s)", (work_id, number, RELEASE)
        )
        outbox.finish(connection, work_id)


def first(process: Process[Settings], *, message_id: int, work_id: int, now: datetime) -> None:
    _done(process, message_id, work_id)


def second(process: Process[Settings], *, number: int, work_id: int, now: datetime) -> None:
    _done(process, number, work_id)


if "TEST_RELEASE" in os.environ:
    worker = bootstrap_worker(Settings, f"release{RELEASE}")
    app = celery_app(f"release{RELEASE}", worker.settings)
    if RELEASE == 2:
        upgrades = cast("dict[Task, Any]", work.UPGRADES)
        upgrades[Task.EXPAND] = [lambda args: {"number": args["message_id"]}]
    register(app, worker, Task.EXPAND, second if RELEASE == 2 else first)
    close_with_worker(app, worker)
