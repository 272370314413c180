"""A stack for the machine, and runs of it."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import psutil
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from mailrecall.embedded import readiness
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.folder import DataFolder, write_private
from mailrecall.embedded.session import Session
from mailrecall.postgres.databases import Databases
from tests import stack
from tests.chaos import blows, stepping
from tests.chaos.hunt import Hunt
from tests.chaos.machine import Chaos
from tests.chaos.report import Report
from tests.servers import new_folder
from tests.severing import Wire, wire

STEPS = 60
"""Of one example: hypothesis draws no more from one seed than a few kilobytes."""


@contextmanager
def hunting(*, plant: bool = False, keep: bool = False) -> Iterator[Hunt]:
    """Run a stack with two shards until the block ends.

    Args:
        plant: with a bug planted on purpose, to see that it is found.
        keep: the data, in a folder that is named at the end: its books may tell how it came to a violation.
    """
    folder = DataFolder(new_folder("chaos"))
    try:
        with (
            tempfile.TemporaryDirectory(prefix="points-") as points,
            stack.started_in(
                folder,
                [f"--shards={stack.SHARDS}"],
                {
                    **stepping.VARIABLES,
                    "MAILRECALL_BATCH_SIZE": "2",
                    "MAILRECALL_FAULT_POINTS": points,
                    # a shard that is away for so long did not answer: unreachable
                    "MAILRECALL_RECALL_DEADLINE": "4",
                    "MAILRECALL_STATEMENT_TIMEOUT": "8",
                    "MAILRECALL_PURGE_EVERY": "3",
                },
            ) as session,
            ExitStack() as ending,
        ):
            databases = Databases(session.settings, "tests")
            ending.callback(databases.close)
            wires = [ending.enter_context(wire(url)) for url in session.settings.shard_urls]
            hunt = Hunt(session, databases, Path(points), wires)
            if plant:
                blows.plant(hunt)
            _lead_through_wires(folder, session, wires)
            yield hunt
    finally:
        if keep:
            click.echo(f"The data is kept in {folder.path}.", err=True)
        else:
            shutil.rmtree(folder.path)


def _lead_through_wires(folder: DataFolder, session: Session, wires: Sequence[Wire]) -> None:
    """Start what reaches the shards again, so that it reaches them by the wires; so does all that is started later."""
    write_private(folder.secret_file("shard_urls"), " ".join(laid.url for laid in wires))
    before = {name: family[0] for name, family in session.processes().items() if name in blows.SERVICES}
    for pid in before.values():
        psutil.Process(pid).terminate()

    def again() -> bool:
        now = session.processes()
        return all(name in now and now[name][0] != pid for name, pid in before.items()) and all(
            check.holds() for check in readiness.checks(session.settings, session.state.ports)
        )

    assert poll(again, timeout=300, pause=0.5), "the services did not come back"


def run(hunt: Hunt, *, number: int, operations: int, faults: int) -> Report:
    """Run the machine until enough has happened, or something was found.

    Args:
        scene: where.
        number: the seed; the same one makes people and blows come in the same order again.
        operations: how many are enough.
        faults: how many are enough.
    """
    report = Report()
    machine = type("Hunt", (Chaos,), {"hunt": hunt, "report": report, "aftermaths": []})
    round_ = 0
    while not report.violations and (report.operations.total() < operations or report.blows.total() < faults):
        _examples(machine, number * 1_000_003 + round_)
        round_ += 1
        click.echo(f"{report.operations.total()} operations, {report.blows.total()} faults", err=True)
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
