"""A stack for the machine, and runs of it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from mailrecall.embedded.folder import DataFolder
from mailrecall.postgres.databases import Databases
from tests import stack
from tests.chaos import blows
from tests.chaos.machine import Chaos, Report
from tests.fault.scene import Scene
from tests.servers import new_folder

STEPS = 60
"""Of one example: hypothesis draws no more from one seed than a few kilobytes."""


@contextmanager
def hunting(*, plant: bool = False) -> Iterator[Scene]:
    """Run a stack with two shards until the block ends.

    Args:
        plant: with a bug planted on purpose, to see that it is found.
    """
    folder = DataFolder(new_folder("chaos"))
    try:
        with stack.started_in(
            folder,
            [f"--shards={stack.SHARDS}"],
            {"MAILRECALL_BATCH_SIZE": "2"},
        ) as session:
            databases = Databases(session.settings, "tests")
            try:
                scene = Scene(session, databases)
                if plant:
                    blows.plant(scene)
                yield scene
            finally:
                databases.close()
    finally:
        shutil.rmtree(folder.path)


def run(scene: Scene, *, number: int, operations: int, faults: int) -> Report:
    """Run the machine until enough has happened, or something was found.

    Args:
        scene: where.
        number: the seed; the same one makes people and blows come in the same order again.
        operations: how many are enough.
        faults: how many are enough.
    """
    report = Report()
    machine = type("Hunt", (Chaos,), {"scene": scene, "report": report})
    round_ = 0
    while not report.violations and (report.operations.total() < operations or report.blows.total() < faults):
        _examples(machine, number * 1_000_003 + round_)
        round_ += 1
    return report


def _examples(machine: type[Chaos], number: int) -> None:
    case = settings(
        max_examples=5,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    seed(number)(machine)
    run_state_machine_as_test(machine, settings=case)
