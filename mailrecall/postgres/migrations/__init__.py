"""Brings a database to the schema that this version expects: numbered SQL files, applied once each, under a lock."""

from importlib.resources import as_file, files
from typing import Literal

from yoyo import get_backend, read_migrations

Kind = Literal["control", "shard"]


def migrate(url: str, kind: Kind) -> int:
    """Apply what is missing; safe to run from several processes at once.

    Returns:
        how many migrations were applied.
    """
    backend = get_backend(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with as_file(files(__package__) / kind) as folder:
        migrations = read_migrations(str(folder))
        with backend.lock():
            missing = backend.to_apply(migrations)
            backend.apply_migrations(missing)
    backend.connection.close()
    return len(missing)
