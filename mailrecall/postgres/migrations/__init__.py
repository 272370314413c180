"""Brings a database to the schema that this version expects: numbered SQL files, applied once each, under a lock.

A file is applied *before* an upgrade's processes start, while those of the version before still run: it adds, and takes
nothing away. One that takes away what only they need has a name that begins with `after-`, as in
`0123.after-no-more-drafts.sql`: it is applied after the last of them has ended.
"""

import time
from enum import StrEnum
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from psycopg import Connection, errors
from yoyo import get_backend, read_migrations

from mailrecall.postgres import queries

_SQL = queries.load(__package__, "applied.sql")

Kind = Literal["control", "shard"]

LOCK_TIMEOUT = 3.0
"""Seconds that a change waits for its tables' locks. All who come after it wait behind it meanwhile."""
TRIES = 100
"""How often a change is tried that did not get its locks."""
_PAUSE = 1.0


class Phase(StrEnum):
    """Which files to apply."""

    BEFORE = "before"
    AFTER = "after"
    ALL = "all"

    def includes(self, migration_id: str) -> bool:
        """Tell whether a file belongs to this phase."""
        is_after = migration_id.partition(".")[2].startswith("after-")
        return self is Phase.ALL or is_after == (self is Phase.AFTER)


def migrate(url: str, kind: Kind, phase: Phase = Phase.ALL, *, lock_timeout: float = LOCK_TIMEOUT) -> int:
    """Apply what is missing; safe to run from several processes at once, and while the services work.

    Returns:
        how many migrations were applied.

    Raises:
        psycopg.errors.LockNotAvailable: a table was in use all the time; nothing is half applied, so try again.
    """
    with as_file(files(__package__) / kind) as folder:
        return apply(url, folder, phase, lock_timeout=lock_timeout)


def lacks(connection: Connection[Any], kind: Kind) -> bool:
    """Tell whether a database lacks something that this version's processes need: what is applied before they start."""
    try:
        # of its own, so that the caller's transaction outlives a table that is not there
        with connection.transaction():
            applied = {migration_id for (migration_id,) in connection.execute(_SQL["applied"])}
    except errors.UndefinedTable:
        return True
    return not _needed(kind) <= applied


@cache
def _needed(kind: Kind) -> frozenset[str]:
    with as_file(files(__package__) / kind) as folder:
        names = {path.name.removesuffix(".sql") for path in folder.glob("*.sql")}
    return frozenset(name for name in names if Phase.BEFORE.includes(name))


def apply(url: str, folder: Path, phase: Phase, *, lock_timeout: float, tries: int = TRIES) -> int:
    """Apply what is missing of a folder, as `migrate` does."""
    migrations = read_migrations(str(folder)).filter(lambda migration: phase.includes(migration.id))
    place = _with_lock_timeout(url, lock_timeout)
    applied = 0
    for left in reversed(range(tries)):
        try:
            # anew each time: after an error yoyo takes its own lock to be held still
            with get_backend(place) as backend, backend.lock():
                while missing := list(backend.to_apply(migrations)):
                    backend.apply_one(missing[0])
                    applied += 1
            break
        except errors.LockNotAvailable:
            if not left:
                raise
            # whoever waited behind the change gets on meanwhile
            time.sleep(_PAUSE)
    return applied


def _with_lock_timeout(url: str, seconds: float) -> str:
    """Return the URL as yoyo wants it, which opens connections of its own from it."""
    place = url.replace("postgresql://", "postgresql+psycopg://", 1)
    options = quote(f"-c lock_timeout={round(seconds * 1000)}")
    return f"{place}{'&' if '?' in place else '?'}options={options}"
