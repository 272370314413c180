"""Recalls."""

from typing import Any
from uuid import UUID

from flask import Blueprint

from mailrecall import clock
from services.gateway import decoding, recalling
from services.gateway.current import account, process
from services.gateway.schemas.messages import RECALL_LINK
from services.gateway.schemas.recalls import AddresseeSchema, AskingSchema, ProgressSchema

blueprint = Blueprint("recalls", __name__, url_prefix="/recalls")

_ASKING = AskingSchema()
_PROGRESS = ProgressSchema()
_ADDRESSEES = AddresseeSchema(many=True)


@blueprint.post("")
def ask_for_recall() -> Any:
    """R11, R12: ask for a message to be recalled; asking again gives the recall there is."""
    asking = decoding.json_body(_ASKING, recalling.Asking)
    answer = recalling.ask(process(), account(), asking, now=clock.now())
    link = RECALL_LINK.format(answer.public_id)
    # the author of a message that an administrator recalled learns that it was, and nothing of how
    body = _PROGRESS.dump(answer.progress) if answer.progress else {"id": str(answer.public_id)}
    # RFC 8631: the resource that tells how far it has got
    return body, 202 if answer.created else 200, {"Location": link, "Link": f'<{link}>; rel="status"'}


@blueprint.get("/<uuid:public_id>")
def show_recall(public_id: UUID) -> Any:
    """Return how far a recall has got, and what it came to."""
    return _PROGRESS.dump(recalling.find(process(), account(), public_id))


@blueprint.get("/<uuid:public_id>/recipients")
def show_recipients(public_id: UUID) -> Any:
    """Return what became of each recipient that the sender named directly, once the recall has settled."""
    return {"recipients": _ADDRESSEES.dump(recalling.addressees(process(), account(), public_id))}
