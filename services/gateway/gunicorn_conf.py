"""How gunicorn serves the gateway.

`gunicorn -c python:services.gateway.gunicorn_conf services.gateway.wsgi:application`

Threads, because a request waits for databases most of its time; several processes, because Python runs one at a time.
"""

import sys
from pathlib import Path

from mailrecall import logs
from mailrecall.settings import SettingsError, load
from services.gateway.settings import GatewaySettings

try:
    _settings = load(GatewaySettings)
except SettingsError as error:
    sys.exit(str(error))

bind = [_settings.gateway_bind]
worker_class = "gthread"
workers = _settings.gateway_workers
threads = _settings.gateway_threads
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


def on_starting(_server: object) -> None:
    """Set up logs for the process that watches the workers; each worker does so itself in `wsgi`."""
    logs.configure(_settings)
