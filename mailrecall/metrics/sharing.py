"""Where the processes of one server share their numbers: gunicorn's workers, Celery's children, a whole machine's.

The library keeps each process's numbers in files of a folder and adds them up when somebody asks.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, values
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

from mailrecall.settings import Settings

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The library's own variable."""


def begin(settings: Settings) -> None:
    """Have this process and the children it forks share their numbers, where anybody is to read them.

    It comes before the first number is counted.
    """
    if settings.metrics_folder:
        Path(settings.metrics_folder).mkdir(parents=True, exist_ok=True)
        os.environ[FOLDER] = settings.metrics_folder
    elif settings.metrics_bind and FOLDER not in os.environ:
        # whoever finds it set is the child of one who set it
        os.environ[FOLDER] = folder = tempfile.mkdtemp(prefix="mailrecall-metrics-")
        owner = os.getpid()

        def remove() -> None:
            if os.getpid() == owner:
                shutil.rmtree(folder, ignore_errors=True)

        atexit.register(remove)
    if FOLDER in os.environ:
        # the library looks for the folder when it is imported, which Celery's command has done by now for Flower's sake
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]


def registry() -> CollectorRegistry:
    """Return what all who share hold together; without a folder, what this process holds."""
    if FOLDER not in os.environ:
        return REGISTRY
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    ProcessCollector(registry=shared)
    return shared
