"""R26, R27: legal holds and the audit trail, for administrators."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Blueprint, url_for
from werkzeug.wrappers import Response

from mailrecall import clock
from mailrecall.directory.tokens import Scope
from services.gateway import decoding, overseeing
from services.gateway.current import account, process
from services.gateway.describing import Answer, describe
from services.gateway.problems import Code
from services.gateway.schemas.oversight import (
    HoldSchema,
    HoldsSchema,
    NewHoldSchema,
    TrailPageSchema,
    TrailQuerySchema,
)

blueprint = Blueprint("oversight", __name__, url_prefix="/admin")

_TRAIL_QUERY = TrailQuerySchema()
_TRAIL_PAGE = TrailPageSchema()
_NEW_HOLD = NewHoldSchema()
_HOLD = HoldSchema()


@dataclass(frozen=True, slots=True)
class _TrailQuery:
    recall: UUID | None
    limit: int
    cursor: int | None


@dataclass(frozen=True, slots=True)
class _NewHold:
    reason: str


@blueprint.get("/audit")
@describe(
    query=TrailQuerySchema,
    answers={200: Answer(TrailPageSchema, headers={"Link": 'The next part, `rel="next"`, if there is one.'})},
    problems=[Code.NOT_ALLOWED],
    scope=Scope.ADMIN,
)
def show_trail() -> Any:
    """R27: return the organisation's audit trail, newest first."""
    wanted = decoding.query(_TRAIL_QUERY, _TrailQuery)
    page = overseeing.audit_trail(process(), account(), recall=wanted.recall, limit=wanted.limit, cursor=wanted.cursor)
    if page.next_cursor is None:
        return _TRAIL_PAGE.dump(page)
    # a value that is None is left out
    following = url_for(".show_trail", limit=wanted.limit, recall=wanted.recall, cursor=page.next_cursor)
    return _TRAIL_PAGE.dump(page), {"Link": f'<{following}>; rel="next"'}


@blueprint.get("/holds")
@describe(answers={200: HoldsSchema}, problems=[Code.NOT_ALLOWED], scope=Scope.ADMIN)
def list_holds() -> Any:
    """R26: return the organisation's accounts that are under a legal hold."""
    return {"holds": _HOLD.dump(overseeing.legal_holds(process(), account()), many=True)}


@blueprint.get("/accounts/<address>/hold")
@describe(answers={200: HoldSchema}, problems=[Code.NOT_ALLOWED], scope=Scope.ADMIN)
def show_hold(address: str) -> Any:
    """R26: return an account's legal hold; 404 where it is not held."""
    return _HOLD.dump(overseeing.find_hold(process(), account(), address))


@blueprint.put("/accounts/<address>/hold")
@describe(
    body=NewHoldSchema,
    answers={200: Answer(HoldSchema, says="It was held already, and nothing was changed."), 201: HoldSchema},
    problems=[Code.NOT_ALLOWED],
    scope=Scope.ADMIN,
)
def place_hold(address: str) -> Any:
    """R26: hold an account: what concerns it is not purged."""
    new = decoding.json_body(_NEW_HOLD, _NewHold)
    hold, placed = overseeing.place_hold(process(), account(), address, new.reason, now=clock.now())
    return _HOLD.dump(hold), 201 if placed else 200


@blueprint.delete("/accounts/<address>/hold")
@describe(answers={204: None}, problems=[Code.NOT_ALLOWED], scope=Scope.ADMIN)
def lift_hold(address: str) -> Any:
    """R26: hold an account no longer; also where it was not held."""
    overseeing.lift_hold(process(), account(), address, now=clock.now())
    return Response(status=204)
