"""What those who watch over the gateway ask."""

from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from typing import Any, Final, cast

import psycopg
from flask import Blueprint, current_app

from mailrecall.postgres.databases import Databases
from mailrecall.postgres.migrations import lacks
from services.gateway.current import process

_EXTENSION: Final = "mailrecall.migrated"

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def alive() -> Any:
    """Say that the process serves requests."""
    return {"status": "alive"}


@blueprint.get("/readyz")
def ready() -> Any:
    """Say which databases answer.

    The gateway is ready while the control database does: a shard that is down takes its own mailboxes away, and must
    not make a load balancer take away all the others as well. Where a database that answers lacks what this version
    needs of it, the gateway is not: `mailrecall migrate --before` has yet to run.
    """
    databases, migrated = process().databases, _migrated()
    shards: list[int | None] = list(databases.shards)
    with ThreadPoolExecutor(len(shards) + 1) as executor:
        found = list(executor.map(lambda shard: _look(databases, shard, migrated), [None, *shards]))
    control, *answers = (one is not _Found.AWAY for one in found)
    if not control:
        status = "unavailable"
    elif _Found.UNMIGRATED in found:
        status = "unmigrated"
    else:
        status = "ready" if all(answers) else "degraded"
    body = {"status": status, "control": control, "shards": answers}
    return (body, 200) if status in ("ready", "degraded") else (body, 503, {"Retry-After": "5"})


class _Found(Enum):
    """How a database is."""

    AWAY = auto()
    UNMIGRATED = auto()
    READY = auto()


def _migrated() -> set[int | None]:
    """Return the databases that were found to have what is needed; it is not taken away while a process runs."""
    return cast("set[int | None]", current_app.extensions.setdefault(_EXTENSION, set()))


def _look(databases: Databases, shard: int | None, migrated: set[int | None]) -> _Found:
    try:
        with databases.control() if shard is None else databases.shard(shard) as connection:
            if shard in migrated:
                connection.execute("SELECT 1")
            elif lacks(connection, "control" if shard is None else "shard"):
                return _Found.UNMIGRATED
    except (psycopg.OperationalError, psycopg.InterfaceError):
        return _Found.AWAY
    migrated.add(shard)
    return _Found.READY
