"""Moments at which a test can have a process die: right before and right after each commit that moves work on.

For tests only. Nothing happens unless `MAILRECALL_FAULT_POINTS` names a folder; a file of a point's name in it has the
process that reaches the point next remove the file and kill itself, without a chance to say goodbye. A folder of a
point's name has every process die that reaches it.
"""

import os
import signal
from enum import StrEnum
from pathlib import Path
from typing import Final

from mailrecall.settings import Settings


class Commit(StrEnum):
    """The commits there are, by what they make durable."""

    EXPAND = "expand"
    """Delivery batches, and the work of depositing them."""
    DEPOSIT = "deposit"
    """Copies on a shard."""
    DEPOSIT_RECORD = "deposit_record"
    """The control database learns of a deposit."""
    FILE = "file"
    """An author's own copy on their shard."""
    FILE_RECORD = "file_record"
    """The control database learns of an author's copy."""
    FORWARD = "forward"
    """R4: what an account's rule passes on, as a message of its own."""
    BOUNCE = "bounce"
    """The bounce for addressees who closed before the delivery."""
    RELAY = "relay"
    """Which recipients outside the smarthost has taken a message for."""
    REFUSE = "refuse"
    """Which recipients outside it refused, and their bounce."""
    RELAY_RECORD = "relay_record"
    """That no recipient outside is left."""
    ADMIT = "admit"
    """R21: recalls of a request that deposits held up, or another try at them."""
    LAPSE = "lapse"
    """R21: that nobody approved a request in time."""
    PLAN = "plan"
    """A recall's batches, and the first work on them."""
    PREPARE = "prepare"
    """R13: marks on a shard."""
    PREPARE_RECORD = "prepare_record"
    """R13: the control database learns of a preparation."""
    DECIDE = "decide"
    """R13: the decision, and the work of carrying it out."""
    WITHDRAW = "withdraw"
    """Copies deleted on a shard, and their outcomes."""
    RELEASE = "release"
    """R13: marks taken away on a shard, and outcomes."""
    RECORD = "record"
    """The control database learns of a batch's counts."""
    SETTLE = "settle"
    """A recall's result, and the work of reporting it."""
    SUMMARISE = "summarise"
    """The report mail."""
    RESTORE = "restore"
    """R26: copies put back on a shard."""
    RESTORE_RECORD = "restore_record"
    """R26: the control database learns of a restoration."""
    PURGE_BEGIN = "purge_begin"
    """R26: that a recall cannot be undone any more."""
    PURGE = "purge"
    """R26: some of a ledger purged on a shard."""
    PURGE_RECORD = "purge_record"
    """R26: that all is purged that may be, or when to look again."""
    MEND = "mend"
    """On the shard of those who moved: who is in their batch, and what is claimed of it."""
    MEND_RECORD = "mend_record"
    """Their batch, and the work on it."""
    PUBLISH_AGAIN = "publish_again"
    """That overdue work is to be published anew."""
    GIVE_UP = "give_up"
    """R9: what no shard answered for in time, and the work of settling without it."""
    REVIVE = "revive"
    """New work for what had lost its own."""


POINTS: Final = tuple(f"{when}_{commit.value}" for commit in Commit for when in ("before", "after"))
"""The names of all points."""

_folder: Path | None = None


def configure(settings: Settings) -> None:
    """Take the folder of the settings; without one, no point does anything."""
    global _folder  # noqa: PLW0603 - of the process, like its death
    _folder = Path(settings.fault_points) if settings.fault_points else None


def before(commit: Commit) -> None:
    """Reach the point inside a transaction of which everything but the commit is done."""
    if _folder is not None:
        reach(_folder, f"before_{commit.value}")


def after(commit: Commit) -> None:
    """Reach the point right after a commit."""
    if _folder is not None:
        reach(_folder, f"after_{commit.value}")


def reach(folder: Path, point: str) -> None:
    """Die if that is what the folder asks for; whoever removes the file first is the one."""
    try:
        (folder / point).unlink()
    except FileNotFoundError:
        return
    except IsADirectoryError:
        pass  # it stays, for the next one
    os.kill(os.getpid(), signal.SIGKILL)
