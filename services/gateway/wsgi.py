"""The gateway as gunicorn loads it, once in each of its processes."""

from mailrecall.wiring import bootstrap
from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings

application = create_app(bootstrap(GatewaySettings, "gateway"))
