"""The one place where a process is put together: settings, logs, databases."""

import sys
from dataclasses import dataclass
from typing import Generic

from mailrecall import faultpoints, logs
from mailrecall.metrics import sharing
from mailrecall.postgres.databases import Databases
from mailrecall.settings import S, SettingsError, load


@dataclass(frozen=True, slots=True)
class Process(Generic[S]):
    """What a running process is made of."""

    settings: S
    databases: Databases
    name: str = ""
    """What it is called in logs, traces and `pg_stat_activity`."""


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
    faultpoints.configure(settings)
    sharing.begin(settings)
    return Process(settings, Databases(settings, application), application)


def bootstrap_worker(kind: type[S], application: str) -> Process[S]:
    """Build a process for a module that Celery imports, whose command would show an error as a traceback.

    Raises:
        SystemExit: with status 2, once the message has been written, where `bootstrap` raises SettingsError.
    """
    try:
        return bootstrap(kind, application)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
