"""The gateway's own numbers, on a port of their own: whoever reaches the service does not reach them."""

from collections.abc import Iterable

from mailrecall import heartbeat
from mailrecall.metrics import serving
from mailrecall.metrics.serving import Application, Environ, StartResponse
from mailrecall.settings import Settings


def apart(application: Application, settings: Settings) -> Application:
    """Answer what comes in at the port for metrics, and leave the rest to the application."""
    port = settings.metrics_bind.rpartition(":")[2]
    if not port:
        return application
    numbers = serving.application(settings)

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # the port that gunicorn accepted the connection on, not one that a client names
        if environ["SERVER_PORT"] != port:
            return application(environ, start_response)
        # that a worker answers is the sign of life
        heartbeat.touch(settings)
        return numbers(environ, start_response)

    return answer
