"""R27: the organisation's audit trail."""

from uuid import UUID

from flask import Blueprint, request
from werkzeug.wrappers import Response as AnyResponse

from services.gateway import overseeing
from services.gateway.current import account, process
from services.gateway.pages.console import cursors
from services.gateway.pages.rendering import page

blueprint = Blueprint("trail", __name__, url_prefix="/trail")

PAGE = 50


@blueprint.get("")
def listed() -> AnyResponse:
    """Show what is recorded, newest first; of one recall, if the address names it."""
    recall = _recall()
    found = overseeing.audit_trail(process(), account(), recall=recall, limit=PAGE, cursor=cursors.number("cursor"))
    return page("console/trail.html", list=found.records, next_cursor=found.next_cursor, recall=recall)


def _recall() -> UUID | None:
    try:
        return UUID(request.args["recall"]) if request.args.get("recall") else None
    except ValueError:
        return None
