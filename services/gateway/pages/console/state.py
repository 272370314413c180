"""Whether the house is well: each shard, the broker, and the work that waits; numbers only."""

from flask import Blueprint
from werkzeug.wrappers import Response as AnyResponse

from services.gateway import wellbeing
from services.gateway.current import account, process
from services.gateway.pages.rendering import page

blueprint = Blueprint("state", __name__, url_prefix="/health")


@blueprint.get("")
def show() -> AnyResponse:
    """Show how the shards and the queues are."""
    return page("console/state.html", state=wellbeing.look(process(), account()))
