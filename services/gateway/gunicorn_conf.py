"""How gunicorn serves the gateway.

`gunicorn -c python:services.gateway.gunicorn_conf services.gateway.wsgi:application`

Threads, because a request waits for databases most of its time; several processes, because Python runs one at a time.
"""

import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from mailrecall import logs
from mailrecall.metrics import sharing
from mailrecall.settings import SettingsError, load
from services.gateway.settings import GatewaySettings

try:
    _settings = load(GatewaySettings)
except SettingsError as error:
    sys.exit(str(error))

# for all workers, before they are forked
sharing.begin(_settings)

bind = [_settings.gateway_bind, *([_settings.metrics_bind] if _settings.metrics_bind else [])]
worker_class = "gthread"
workers = _settings.gateway_workers
# a live view takes a thread for as long as somebody looks at it, and none of those that answer requests
threads = _settings.gateway_threads + _settings.gateway_streams
# a request may wait for a database that does not answer, then for its statement, before the worker counts as hung
timeout = round(_settings.connect_timeout + _settings.statement_timeout) + 30
graceful_timeout = 30
keepalive = 5
# it would lie in the user's home, where two gateways of one user take it from each other
control_socket_disable = True
# the application writes its own access log, which bears no addresses
accesslog = None
# a slow disk must not make a healthy worker look dead
_memory = Path("/dev/shm")  # noqa: S108 - gunicorn keeps an unnamed file in it
worker_tmp_dir = str(_memory) if _memory.is_dir() else None
# gunicorn's own lines go the way of all others
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": _settings.log_level, "handlers": []},
    "loggers": {"gunicorn.error": {"level": _settings.log_level, "handlers": [], "propagate": True}},
    "handlers": {},
    "formatters": {},
}


def post_worker_init(_worker: object) -> None:
    """Have live views end when the worker is to stop: it waits for requests under way, and these would never end."""
    # the worker has loaded it by now, and nobody else may
    from services.gateway.wsgi import batch_watch, watch  # noqa: PLC0415

    stop = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        # a thread of its own: the lock it needs may be held by what the signal has interrupted
        for watcher in (watch, batch_watch):
            threading.Thread(target=watcher.stop, daemon=True).start()
        if callable(stop):
            stop(number, frame)

    signal.signal(signal.SIGTERM, end)


def worker_exit(_server: object, _worker: object) -> None:
    """Close the worker's databases: once Python ends, their pools wait seconds for each thread, which runs no more."""
    # a worker that could not load it has nothing to close
    if (wsgi := sys.modules.get("services.gateway.wsgi")) is not None:
        wsgi.process.databases.close()


def on_starting(_server: object) -> None:
    """Set up logs for the process that watches the workers; each worker does so itself in `wsgi`."""
    logs.configure(_settings)
