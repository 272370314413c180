"""Clocks that step: a file sets those of all processes of the services wrong, or of half of them.

They read the machine's, which is not a test's to set: `sitecustomize` beside this, which Python runs before anything
else where `PYTHONPATH` leads here, has `mailrecall.clock` of each process add what the file says.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.hunt import Hunt
from tests.chaos.lasting import Blow, Fallen

VARIABLES: Mapping[str, str] = {"PYTHONPATH": str(Path(__file__).parent)}
"""What the processes of a stack need in their environment to be stepped, besides `MAILRECALL_FAULT_POINTS`."""

FILE = "clock"
"""Of the folder of fault points: seconds, then whether all processes (1) or those of even numbers only (2) step."""

SECONDS = 20
"""Far more than a recall's deadline and the leases of these tests. What is put off meanwhile waits as much longer."""


def step(seconds: int, *, one_of: int) -> Blow:
    """Let clocks step by some seconds, and back when the block ends.

    Args:
        seconds: forward, or back if less than 0.
        one_of: 1 for all processes, 2 for every other one, so that they differ.
    """

    @contextmanager
    def strike(hunt: Hunt) -> Iterator[Fallen]:
        file = hunt.fault_points / FILE
        # read by everybody at any moment: complete, or not there
        (fresh := file.with_suffix(".new")).write_text(f"{seconds} {one_of}", encoding="ascii")
        fresh.rename(file)
        try:
            yield lambda: True
        finally:
            file.unlink()

    return strike


KINDS: Mapping[str, Blow] = {
    f"{whose} {'forward' if seconds > 0 else 'back'}": step(seconds, one_of=one_of)
    for whose, one_of in (("all clocks step", 1), ("the clocks of half the processes step", 2))
    for seconds in (SECONDS, -SECONDS)
}
