"""R20: administrators' search."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, request, url_for

from mailrecall import clock
from mailrecall.directory.tokens import Scope
from mailrecall.recalls.search import Criteria, Place
from services.gateway import administration, decoding
from services.gateway.current import account, process
from services.gateway.describing import Answer, describe
from services.gateway.problems import Code
from services.gateway.schemas.administration import HitPageSchema, SearchQuerySchema

blueprint = Blueprint("admin_messages", __name__, url_prefix="/admin/messages")

_QUERY = SearchQuerySchema()
_PAGE = HitPageSchema()


@dataclass(frozen=True, slots=True)
class _Query:
    criteria: Criteria
    limit: int
    cursor: Place | None


@blueprint.get("")
@describe(
    query=SearchQuerySchema,
    answers={200: Answer(HitPageSchema, headers={"Link": 'The next part, `rel="next"`, if there is one.'})},
    problems=[Code.NOT_ALLOWED, Code.TOO_WIDE],
    scope=Scope.ADMIN,
)
def find_messages() -> Any:
    """Search the organisation's mail, newest first."""
    administration.require_administrator(account())
    wanted = decoding.query(_QUERY, _Query)
    page = administration.find_messages(
        process(), account(), wanted.criteria, limit=wanted.limit, cursor=wanted.cursor, now=clock.now()
    )
    document = _PAGE.dump(page)
    if page.next_cursor is None:
        return document
    following = url_for(".find_messages", **{**request.args.to_dict(), "cursor": document["next_cursor"]})
    return document, {"Link": f'<{following}>; rel="next"'}
