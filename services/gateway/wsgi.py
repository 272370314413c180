"""The gateway as gunicorn loads it, once in each of its processes."""

from mailrecall import tracing
from mailrecall.wiring import bootstrap
from services.gateway.app import create_app
from services.gateway.batching import BATCH_WATCH, BatchWatch
from services.gateway.metrics import apart
from services.gateway.settings import GatewaySettings
from services.gateway.watching import WATCH, Watch

process = bootstrap(GatewaySettings, "gateway")
tracing.configure(process.settings, process.name)
_app = create_app(process)
watch: Watch = _app.extensions[WATCH]
batch_watch: BatchWatch = _app.extensions[BATCH_WATCH]
application = apart(_app.wsgi_app, process.settings)
