"""Run by Python as each process of the services starts: has its clock go wrong by what a file says (`tests.chaos`)."""

import os
from datetime import datetime, timedelta
from pathlib import Path

from mailrecall import clock

_true = clock.now
_file = Path(os.environ.get("MAILRECALL_FAULT_POINTS", "")) / "clock"


def _now() -> datetime:
    try:
        seconds, one_of = map(int, _file.read_text(encoding="ascii").split())
    except FileNotFoundError:
        return _true()
    return _true() + timedelta(seconds=0 if os.getpid() % one_of else seconds)


clock.now = _now
