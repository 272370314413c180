"""`make chaos`: a long run of the machine against a stack of its own, and a report of it."""

import argparse
import json
import sys
import time
from pathlib import Path

from tests.chaos.running import hunting, run


def main() -> int:
    """Run until enough has happened, print the report; 1 when a rule was violated, which ends the run at once."""
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--seed", type=int, default=1, help="decides what happens")
    parser.add_argument("--operations", type=int, default=10_000, help="at least as many")
    parser.add_argument("--faults", type=int, default=300, help="at least as many")
    parser.add_argument("--plant", action="store_true", help="plant a bug that has to be found")
    parser.add_argument("--keep", action="store_true", help="keep the data of the stack, to look for a cause")
    parser.add_argument("--report", type=Path, help="a file for the report, as JSON")
    given = parser.parse_args()
    with hunting(plant=given.plant, keep=given.keep) as hunt:
        started = time.monotonic()
        report = run(hunt, number=given.seed, operations=given.operations, faults=given.faults)
        seconds = time.monotonic() - started
    summary = {
        "seed": given.seed,
        "operations": report.operations.total(),
        "by_kind": dict(report.operations.most_common()),
        "without_answer": report.unanswered,
        "faults": report.blows.total(),
        "by_kind_of_fault": report.kinds_of_blows(),
        "by_fault": dict(report.blows.most_common()),
        "recalls": dict(report.endings.most_common()),
        "violations": report.violations,
        "seconds": round(seconds),
        "operations_per_second": round(report.operations.total() / seconds, 1),
    }
    text = json.dumps(summary, indent=2)
    if given.report:
        given.report.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 1 if report.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
