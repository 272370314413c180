"""R21: what waits for a second administrator."""

from typing import Any
from uuid import UUID

from flask import Blueprint

from mailrecall import clock
from mailrecall.directory.tokens import Scope
from mailrecall.domain.approvals import Approval
from services.gateway import batching, decoding
from services.gateway.administration import require_administrator
from services.gateway.api.recall_batches import NEXT, PageQuery, leads_on
from services.gateway.current import account, process
from services.gateway.describing import Answer, describe
from services.gateway.problems import Code
from services.gateway.schemas.accounts import NothingSchema
from services.gateway.schemas.batches import BatchPageQuerySchema, BatchPageSchema, BatchSchema

blueprint = Blueprint("approvals", __name__, url_prefix="/admin/approvals")

_PAGE_QUERY = BatchPageQuerySchema()
_PAGE = BatchPageSchema()
_BATCH = BatchSchema()
_NOTHING = NothingSchema()
_PROBLEMS = [Code.NOT_ALLOWED, Code.OWN_REQUEST, Code.ALREADY_DECIDED]


@blueprint.get("")
@describe(
    query=BatchPageQuerySchema,
    answers={200: Answer(BatchPageSchema, headers=NEXT)},
    problems=[Code.NOT_ALLOWED],
    scope=Scope.ADMIN,
)
def list_approvals() -> Any:
    """List what waits for a second administrator, newest first."""
    require_administrator(account())
    wanted = decoding.query(_PAGE_QUERY, PageQuery)
    page = batching.page(process(), account(), waiting=True, limit=wanted.limit, cursor=wanted.cursor, now=clock.now())
    return _PAGE.dump(page), leads_on(".list_approvals", wanted, page.next_cursor)


@blueprint.get("/<uuid:public_id>")
@describe(answers={200: BatchSchema}, problems=[Code.NOT_ALLOWED], scope=Scope.ADMIN)
def show_approval(public_id: UUID) -> Any:
    """Show a request, whether it waits or was decided on."""
    return _BATCH.dump(batching.find(process(), account(), public_id))


@blueprint.post("/<uuid:public_id>/approve")
@describe(
    body=NothingSchema, body_may_be_left_out=True, answers={200: BatchSchema}, problems=_PROBLEMS, scope=Scope.ADMIN
)
def approve_request(public_id: UUID) -> Any:
    """Approve a request, as another administrator than the one who asked: its recalls begin."""
    return _decide(public_id, Approval.APPROVED)


@blueprint.post("/<uuid:public_id>/reject")
@describe(
    body=NothingSchema, body_may_be_left_out=True, answers={200: BatchSchema}, problems=_PROBLEMS, scope=Scope.ADMIN
)
def reject_request(public_id: UUID) -> Any:
    """Reject a request, as another administrator than the one who asked: nothing is recalled."""
    return _decide(public_id, Approval.REJECTED)


def _decide(public_id: UUID, decision: Approval) -> Any:
    if decoding.has_body():
        decoding.json_body(_NOTHING, dict)
    return _BATCH.dump(batching.decide(process(), account(), public_id, decision, now=clock.now()))
