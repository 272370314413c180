"""R18: a report is sent exactly once, whatever runs twice, at once or dies in between."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from mailrecall import clock
from mailrecall.broker import celery_app
from mailrecall.embedded.deadlines import poll
from mailrecall.outbox import store as outbox
from mailrecall.outbox.relay import publish_due
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.reports.summarising import write_reports
from tests import correspondence, dispatch
from tests.reported import inbox, mixed, report, report_work, settle, system_mails


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 7}), databases)


DEADLINE = 60.0
"""Seconds a condition may take to come true."""


class Reporting(threading.Thread):
    """A run of the report's task, beside others."""

    def __init__(self, process: Process[Settings], recall_id: int, work_id: int) -> None:
        super().__init__()
        self.process, self.recall_id, self.work_id = process, recall_id, work_id
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            write_reports(self.process, recall_id=self.recall_id, work_id=self.work_id, now=clock.now())
        except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
            self.failure = error


@contextmanager
def before_the_commit(settings: Settings, recall_id: int) -> Iterator[Connection[Any]]:
    """Let whoever reports of a recall come as far as its row, and no further."""
    with psycopg.connect(settings.control_url) as connection:
        connection.execute("SELECT FROM recall WHERE id = %s FOR UPDATE", (recall_id,))
        yield connection


@pytest.mark.rule(18)
def test_r18_two_runs_at_once_send_one_report(process, databases, settings):
    firm, message_id = mixed(process)
    recall_id = settle(process, firm.people[0], message_id)
    (work_id,) = report_work(databases, recall_id)
    runs = [Reporting(process, recall_id, work_id) for _ in range(2)]
    with before_the_commit(settings, recall_id):
        for thread in runs:
            thread.start()
        # both have written their mail and stand before the same row
        await_waiters(settings, 2)
    for thread in runs:
        thread.join(DEADLINE)

    assert [thread.failure for thread in runs] == [None, None]
    assert report_work(databases, recall_id) == []
    dispatch.run(process)
    assert len(inbox(databases, firm.people[0])) == 1
    assert system_mails(databases, firm.people[0]) == 1


@pytest.mark.rule(18)
def test_r18_a_run_that_dies_before_its_commit_leaves_the_report_to_the_next(process, databases, settings):
    firm, message_id = mixed(process)
    recall_id = settle(process, firm.people[0], message_id)
    (work_id,) = report_work(databases, recall_id)
    dying = Reporting(process, recall_id, work_id)
    with before_the_commit(settings, recall_id) as connection:
        dying.start()
        (pid,) = await_waiters(settings, 1)
        connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
        dying.join(DEADLINE)
    assert isinstance(dying.failure, psycopg.OperationalError)
    assert system_mails(databases, firm.people[0]) == 0
    assert report_work(databases, recall_id) == [work_id]

    report(process, recall_id)

    assert len(inbox(databases, firm.people[0])) == 1


@pytest.mark.rule(18)
def test_r18_a_task_delivered_again_after_the_commit_sends_nothing(process, databases):
    firm, message_id = mixed(process, notify_author=True)
    recall_id = settle(process, firm.postmaster, message_id)
    (work_id,) = report_work(databases, recall_id)
    report(process, recall_id)

    # as after a crash between the commit and the acknowledgement to the broker
    write_reports(process, recall_id=recall_id, work_id=work_id, now=clock.now())
    dispatch.run(process)

    assert len(inbox(databases, firm.postmaster)) == 1
    assert len(inbox(databases, firm.people[0])) == 1
    assert system_mails(databases, firm.postmaster) == system_mails(databases, firm.people[0]) == 1


@pytest.mark.rule(18)
def test_r18_work_for_a_recall_that_runs_again_is_left_to_its_next_settlement(process, databases):
    firm, message_id = mixed(process)
    asked = correspondence.ask(databases, firm.people[0], message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)

    write_reports(process, recall_id=asked.recall.id, work_id=-1, now=clock.now())

    assert system_mails(databases, firm.people[0]) == 0
    dispatch.run(process)
    report(process, asked.recall.id)
    assert len(inbox(databases, firm.people[0])) == 1


def test_a_recall_that_does_not_exist_is_an_error(process):
    with pytest.raises(LookupError):
        write_reports(process, recall_id=-5, work_id=-1, now=clock.now())


@pytest.mark.rule(18)
def test_r18_a_worker_killed_in_the_middle_leaves_the_report_to_another(process, databases, settings):
    firm, message_id = mixed(process)
    recall_id = settle(process, firm.people[0], message_id)
    app = celery_app("tests", settings)

    with psycopg.connect(settings.control_url) as connection:
        connection.execute("SELECT FROM recall WHERE id = %s FOR UPDATE", (recall_id,))
        with databases.control() as control:
            assert publish_due(control, app, now=clock.now()) >= 1
        with reports_worker(settings) as first:
            await_waiters(settings, 1)
            os.killpg(first.pid, signal.SIGKILL)
            first.wait(DEADLINE)
    assert system_mails(databases, firm.people[0]) == 0

    # the broker still believes that the first one is at it; the outbox does not
    with databases.control() as control:
        assert outbox.publish_again(control, now=clock.now() + timedelta(hours=1), lease=settings.outbox_lease) >= 1
        publish_due(control, app, now=clock.now() + timedelta(hours=1))
    with reports_worker(settings):
        await_condition(lambda: report_work(databases, recall_id) == [])
    dispatch.run(process)
    assert len(inbox(databases, firm.people[0])) == 1
    assert system_mails(databases, firm.people[0]) == 1


@contextmanager
def reports_worker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A reports worker as it runs everywhere, in a process group of its own."""
    environment = {
        **os.environ,
        "MAILRECALL_CONTROL_URL": settings.control_url,
        "MAILRECALL_SHARD_URLS": " ".join(settings.shard_urls),
        "MAILRECALL_BROKER_URL": settings.broker_url,
    }
    command = [sys.executable, "-m", "celery", "-A", "services.reports.worker", "worker", "-Q", "reports", "-c", "1"]
    with subprocess.Popen(command, env=environment, start_new_session=True) as worker:
        try:
            yield worker
        finally:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGTERM)
            try:
                worker.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                os.killpg(worker.pid, signal.SIGKILL)


def await_condition(holds: Callable[[], bool]) -> None:
    """Wait until something is so."""
    assert poll(holds, timeout=DEADLINE), "it did not come true in time"


def await_waiters(settings: Settings, count: int) -> list[int]:
    """Wait until so many backends of this control database wait for a row lock; return them."""
    pids: list[int] = []

    def all_wait() -> bool:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchall()
        pids[:] = [row[0] for row in rows]
        return len(pids) == count

    with psycopg.connect(settings.control_url, autocommit=True) as connection:
        await_condition(all_wait)
    return pids
