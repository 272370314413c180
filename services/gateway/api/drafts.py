"""R28: drafts, saved again and again while somebody writes."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, request
from werkzeug.wrappers import Response

from mailrecall import clock
from mailrecall.directory.tokens import Scope
from services.gateway import decoding, drafting
from services.gateway.api.answers import sent, written
from services.gateway.current import account, process
from services.gateway.describing import Answer, describe
from services.gateway.problems import Code, Problem
from services.gateway.schemas.drafts import DraftSchema, TypedSchema
from services.gateway.schemas.sending import SendingSchema, SentSchema

blueprint = Blueprint("drafts", __name__, url_prefix="/drafts")

_IF_MATCH = {"If-Match": "The ETag of the version that is meant."}
_VERSION = {"ETag": "The version."}

_TYPED = TypedSchema()
_SENDING = SendingSchema()


@dataclass(frozen=True, slots=True)
class _Sending:
    delay: int | None


@blueprint.post("")
@describe(body=TypedSchema, answers={201: Answer(DraftSchema, headers=_VERSION)}, scope=Scope.SEND)
def create_draft() -> Any:
    """Save a new draft."""
    typed = decoding.json_body(_TYPED, drafting.Typed)
    saved = drafting.create(process(), account(), typed, now=clock.now())
    document, headers = written(saved)
    return document, 201, {**headers, "Location": document["link"]}


@blueprint.get("/<copy_id:draft_id>")
@describe(answers={200: Answer(DraftSchema, headers=_VERSION)}, scope=Scope.READ)
def show_draft(draft_id: int) -> Any:
    """Return a draft to go on with."""
    return written(drafting.find(process(), account(), draft_id))


@blueprint.put("/<copy_id:draft_id>")
@describe(
    body=TypedSchema,
    answers={200: Answer(DraftSchema, headers=_VERSION)},
    headers=_IF_MATCH,
    problems=[Code.VERSION_REQUIRED, Code.VERSION_CONFLICT, Code.BEING_SENT],
    scope=Scope.SEND,
)
def replace_draft(draft_id: int) -> Any:
    """Save a draft as it is now, in place of the version that it was made from."""
    if "If-Match" not in request.headers:
        raise Problem(Code.VERSION_REQUIRED, "Send If-Match with the ETag of the version that you have changed.")
    typed = decoding.json_body(_TYPED, drafting.Typed)
    return written(drafting.replace(process(), account(), draft_id, typed, _matches, now=clock.now()))


@blueprint.delete("/<copy_id:draft_id>")
@describe(answers={204: None}, headers=_IF_MATCH, problems=[Code.VERSION_CONFLICT, Code.BEING_SENT], scope=Scope.SEND)
def remove_draft(draft_id: int) -> Any:
    """Throw a draft away."""
    drafting.remove(process(), account(), draft_id, _matches)
    return Response(status=204)


@blueprint.post("/<copy_id:draft_id>/send")
@describe(
    body=SendingSchema,
    body_may_be_left_out=True,
    answers={202: SentSchema},
    headers=_IF_MATCH,
    problems=[Code.VERSION_CONFLICT, Code.BEING_SENT, Code.RECIPIENTS_REFUSED],
    scope=Scope.SEND,
)
def send_draft(draft_id: int) -> Any:
    """Send a draft as it is saved."""
    wanted = decoding.json_body(_SENDING, _Sending) if decoding.has_body() else _Sending(None)
    return sent(drafting.send(process(), account(), draft_id, _matches, delay=wanted.delay, now=clock.now()))


def _matches(version: int) -> bool:
    """Without If-Match any version is meant."""
    return "If-Match" not in request.headers or request.if_match.contains(str(version))
