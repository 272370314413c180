"""The one place where a process is put together: settings, logs, databases."""

from dataclasses import dataclass
from typing import Generic

from mailrecall import logs
from mailrecall.postgres.databases import Databases
from mailrecall.settings import S, load


@dataclass(frozen=True, slots=True)
class Process(Generic[S]):
    """What a running process is made of."""

    settings: S
    databases: Databases


def bootstrap(kind: type[S], application: str) -> Process[S]:
    """Build a process from its environment.

    Args:
        kind: its settings class.
        application: its name, for logs and for `pg_stat_activity`.

    Raises:
        SettingsError: the environment does not describe a process that can run.
    """
    settings = load(kind)
    logs.configure(settings)
    return Process(settings, Databases(settings, application))
