"""R30: mail that waits for a moderator."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, url_for
from werkzeug.wrappers import Response

from mailrecall import clock
from mailrecall.directory.tokens import Scope
from services.gateway import decoding, moderating
from services.gateway.current import account, process
from services.gateway.describing import Answer, describe
from services.gateway.problems import Code
from services.gateway.schemas.accounts import NothingSchema
from services.gateway.schemas.moderation import (
    HeldContentSchema,
    HeldPageQuerySchema,
    HeldPageSchema,
    HeldSchema,
    RejectionSchema,
)

blueprint = Blueprint("held", __name__, url_prefix="/held")

_PAGE_QUERY = HeldPageQuerySchema()
_PAGE = HeldPageSchema()
_HELD = HeldSchema()
_CONTENT = HeldContentSchema()
_REJECTION = RejectionSchema()
_NOTHING = NothingSchema()


@dataclass(frozen=True, slots=True)
class _PageQuery:
    limit: int
    cursor: int | None


@dataclass(frozen=True, slots=True)
class _Rejection:
    reason: str


@blueprint.get("")
@describe(
    query=HeldPageQuerySchema,
    answers={200: Answer(HeldPageSchema, headers={"Link": 'The next part, `rel="next"`, if there is one.'})},
    problems=[Code.NOT_ALLOWED],
    scope=Scope.ADMIN,
)
def list_held() -> Any:
    """List what waits, the longest waiting first."""
    wanted = decoding.query(_PAGE_QUERY, _PageQuery)
    page = moderating.page(process(), account(), limit=wanted.limit, cursor=wanted.cursor, now=clock.now())
    if page.next_cursor is None:
        return _PAGE.dump(page)
    following = url_for(".list_held", limit=wanted.limit, cursor=page.next_cursor)
    return _PAGE.dump(page), {"Link": f'<{following}>; rel="next"'}


@blueprint.get("/<copy_id:message_id>")
@describe(
    answers={200: Answer((HeldSchema, HeldContentSchema), together=True)},
    problems=[Code.NOT_ALLOWED, Code.NOT_HELD],
    scope=Scope.ADMIN,
)
def show_held(message_id: int) -> Any:
    """Show a message to whoever decides on it; no recipient's copy is read by that."""
    shown = moderating.show(process(), account(), message_id, now=clock.now())
    return {**_HELD.dump(shown.held), **_CONTENT.dump(shown)}


@blueprint.post("/<copy_id:message_id>/release")
@describe(
    body=NothingSchema,
    body_may_be_left_out=True,
    answers={204: None},
    problems=[Code.NOT_ALLOWED, Code.NOT_HELD],
    scope=Scope.ADMIN,
)
def release(message_id: int) -> Any:
    """Have a message delivered."""
    if decoding.has_body():
        decoding.json_body(_NOTHING, dict)
    moderating.release(process(), account(), message_id, now=clock.now())
    return Response(status=204)


@blueprint.post("/<copy_id:message_id>/reject")
@describe(body=RejectionSchema, answers={204: None}, problems=[Code.NOT_ALLOWED, Code.NOT_HELD], scope=Scope.ADMIN)
def reject(message_id: int) -> Any:
    """Have nobody get a message; its sender is told why."""
    rejection = decoding.json_body(_REJECTION, _Rejection)
    moderating.reject(process(), account(), message_id, rejection.reason, now=clock.now())
    return Response(status=204)
