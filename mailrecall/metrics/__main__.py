"""The exporter: shows the state of the house to Prometheus (`python -m mailrecall.metrics`).

Where processes share a folder for their numbers (`MAILRECALL_METRICS_FOLDER`), it shows those too.
"""

import signal
import sys
from threading import Event

from prometheus_client import CollectorRegistry

from mailrecall import heartbeat, logs
from mailrecall.metrics import serving, sharing
from mailrecall.metrics.state import StateCollector
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings, SettingsError, load

_PATIENCE = 5.0
"""Seconds for a database to answer: less than the ten that Prometheus waits by default."""
_ROUND = 5.0
_DEFAULT_BIND = "127.0.0.1:9464"


def _registry(databases: Databases, settings: Settings) -> CollectorRegistry:
    registry = sharing.registry() if settings.metrics_folder else CollectorRegistry()
    registry.register(StateCollector(databases, settings))
    return registry


def main() -> int:
    """Run an exporter until SIGTERM or SIGINT."""
    try:
        settings = load(Settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logs.configure(settings)
    sharing.begin(settings)
    impatient = {
        "statement_timeout": min(settings.statement_timeout, _PATIENCE),
        "connect_timeout": min(settings.connect_timeout, _PATIENCE / 2),
        "metrics_bind": settings.metrics_bind or _DEFAULT_BIND,
    }
    settings = settings.model_copy(update=impatient)
    stopping = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    databases = Databases(settings, "metrics")
    try:
        serving.start(settings, _registry(databases, settings))
    except OSError as error:
        sys.stderr.write(f"metrics: cannot listen: {error}. Set MAILRECALL_METRICS_BIND.\n")
        return 1
    heartbeat.touch(settings)
    while not stopping.wait(_ROUND):
        heartbeat.touch(settings)
    databases.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
