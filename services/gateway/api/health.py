"""What those who watch over the gateway ask."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from flask import Blueprint

from mailrecall.postgres.databases import Databases
from services.gateway.current import process

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def alive() -> Any:
    """Say that the process serves requests."""
    return {"status": "alive"}


@blueprint.get("/readyz")
def ready() -> Any:
    """Say which databases answer.

    The gateway is ready while the control database does: a shard that is down takes its own mailboxes away, and must
    not make a load balancer take away all the others as well.
    """
    databases = process().databases
    shards: list[int | None] = list(databases.shards)
    with ThreadPoolExecutor(len(shards) + 1) as executor:
        control, *answers = executor.map(lambda shard: _answers(databases, shard), [None, *shards])
    status = "unavailable" if not control else "ready" if all(answers) else "degraded"
    body = {"status": status, "control": control, "shards": answers}
    return (body, 200) if control else (body, 503, {"Retry-After": "5"})


def _answers(databases: Databases, shard: int | None) -> bool:
    try:
        with databases.control() if shard is None else databases.shard(shard) as connection:
            connection.execute("SELECT 1")
    except (psycopg.OperationalError, psycopg.InterfaceError):
        return False
    return True
