"""Workers of two releases side by side: each does what it understands, nothing is lost, done twice or put aside."""

import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb

from mailrecall import clock
from mailrecall.broker import celery_app
from mailrecall.embedded.deadlines import poll
from mailrecall.outbox import store as outbox
from mailrecall.outbox.relay import publish_due
from mailrecall.outbox.work import Task, TooNewError, upgraded, version_of
from tests.listening import environment

PATIENCE = 120.0
EACH = 20


@pytest.mark.parametrize(
    ("version", "args", "expected"),
    [(1, {"a": 1}, {"b": 1, "c": 0}), (2, {"b": 5}, {"b": 5, "c": 0}), (3, {"b": 5, "c": 2}, {"b": 5, "c": 2})],
)
def test_arguments_of_every_earlier_version_are_brought_into_todays_shape(version, args, expected):
    steps = {Task.EXPAND: [lambda args: {"b": args["a"]}, lambda args: {**args, "c": 0}]}
    assert version_of(Task.EXPAND, steps) == 3
    assert version_of(Task.PLAN, steps) == 1
    assert upgraded(Task.EXPAND, version, args, steps) == expected


def test_arguments_of_a_later_version_are_not_guessed_at():
    with pytest.raises(TooNewError):
        upgraded(Task.EXPAND, 2, {"a": 1})


def worker(release: int, settings, log) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "--app=tests.releases", "worker", f"--hostname=release{release}@%h"),
                *("--queues=delivery", "--concurrency=1", "--without-gossip", "--without-mingle"),
            ],
            env={**environment(settings), "TEST_RELEASE": str(release)},
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parents[2],
        )


def test_two_releases_side_by_side_do_all_work_once_and_the_old_one_ends_within_it(settings, databases, tmp_path):
    app = celery_app("test", settings)
    query = "INSERT INTO outbox (task, queue, args, version, due_at) VALUES (%s, 'delivery', %s, %s, %s)"
    with databases.control() as control, ExitStack() as until:
        control.autocommit = True
        # its key has it fail loudly, should any work be done twice
        control.execute("CREATE TABLE done_by (work_id bigint PRIMARY KEY, number int, release int)")
        for number in range(EACH):
            # as the old release's processes write it, and the new one's
            control.execute(query, ("delivery.expand", Jsonb({"message_id": number}), 1, clock.now()))
            control.execute(query, ("delivery.expand", Jsonb({"number": number}), 2, clock.now()))
        old, new = (worker(release, settings, tmp_path / f"release{release}") for release in (1, 2))
        for process in (old, new):
            until.callback(process.wait)
            until.callback(process.kill)

        def done() -> list[tuple[int, int]]:
            rows = control.execute("SELECT number, release FROM done_by").fetchall()
            return [(number, release) for number, release in rows]

        def both_at_work() -> bool:
            publish_due(control, app, now=clock.now())
            return {release for _, release in done()} == {1, 2}

        def everything() -> bool:
            publish_due(control, app, now=clock.now())
            # what the old worker gave back as it ended comes again
            outbox.publish_again(control, now=clock.now(), lease=5.0)
            return len(done()) == 2 * EACH

        assert poll(both_at_work, timeout=PATIENCE), _logs(tmp_path)
        old.terminate()
        assert poll(everything, timeout=PATIENCE), f"{len(done())} done\n{_logs(tmp_path)}"
        assert old.wait(PATIENCE) == 0
        new.terminate()
        assert new.wait(PATIENCE) == 0

        assert Counter(number for number, _ in done()) == dict.fromkeys(range(EACH), 2)
        new_shape = control.execute("SELECT count(*) FROM done_by WHERE release = 2").fetchone()
        assert new_shape is not None
        assert new_shape[0] >= EACH
        assert control.execute("SELECT count(*), count(*) FILTER (WHERE dead) FROM outbox").fetchone() == (0, 0)
        control.autocommit = False
    assert "work.put_aside" not in _logs(tmp_path)


def _logs(folder) -> str:
    return "\n".join(log.read_text() for log in sorted(folder.glob("release*")))
