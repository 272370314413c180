"""R21: recalls of many messages at once, for administrators."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Blueprint, url_for
from psycopg import Connection

from mailrecall import clock
from mailrecall.directory.tokens import Scope
from services.gateway import batching, decoding, idempotency
from services.gateway.administration import require_administrator
from services.gateway.current import account, process
from services.gateway.describing import Answer, describe
from services.gateway.idempotency import Keep
from services.gateway.problems import Code
from services.gateway.schemas.batches import (
    AskedBatchSchema,
    BatchPageQuerySchema,
    BatchPageSchema,
    BatchSchema,
    ItemPageSchema,
    NewBatchSchema,
)

blueprint = Blueprint("recall_batches", __name__, url_prefix="/admin/recall-batches")

NEXT = {"Link": 'The next part, `rel="next"`, if there is one.'}

_NEW = NewBatchSchema()
_ASKED = AskedBatchSchema()
_BATCH = BatchSchema()
_PAGE_QUERY = BatchPageQuerySchema()
_PAGE = BatchPageSchema()
_ITEMS = ItemPageSchema()


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which part is wanted."""

    limit: int
    cursor: int | None


@blueprint.post("")
@describe(
    body=NewBatchSchema,
    headers=idempotency.DESCRIBED,
    answers={202: Answer(AskedBatchSchema, says="Each message has its result.", headers={"Location": "The request."})},
    problems=[Code.NOT_ALLOWED, *idempotency.PROBLEMS],
    scope=Scope.ADMIN,
)
def ask_for_batch() -> Any:
    """R21: ask for up to 1,000 messages to be recalled; one refusal never stops the others."""
    require_administrator(account())
    asking = decoding.json_body(_NEW, batching.Asking)
    return idempotency.once(asking, lambda keep: _asked(asking, keep))


def _asked(asking: batching.Asking, keep: Keep) -> idempotency.Answer:
    answers: list[idempotency.Answer] = []

    def remember(control: Connection[Any], made: batching.Shown) -> None:
        answers.append(_answer(made))
        keep(control, answers[0])

    batching.ask(process(), account(), asking, keep=remember, now=clock.now())
    return answers[0]


def _answer(shown: batching.Shown) -> idempotency.Answer:
    document: dict[str, Any] = _ASKED.dump(shown)
    return document, 202, {"Location": document["link"]}


@blueprint.get("")
@describe(
    query=BatchPageQuerySchema,
    answers={200: Answer(BatchPageSchema, headers=NEXT)},
    problems=[Code.NOT_ALLOWED],
    scope=Scope.ADMIN,
)
def list_batches() -> Any:
    """List the organisation's requests, newest first."""
    require_administrator(account())
    wanted = decoding.query(_PAGE_QUERY, PageQuery)
    page = batching.page(process(), account(), waiting=False, limit=wanted.limit, cursor=wanted.cursor, now=clock.now())
    return _PAGE.dump(page), leads_on(".list_batches", wanted, page.next_cursor)


@blueprint.get("/<uuid:public_id>")
@describe(answers={200: BatchSchema}, problems=[Code.NOT_ALLOWED], scope=Scope.ADMIN)
def show_batch(public_id: UUID) -> Any:
    """R22: show how far all recalls of a request have got."""
    return _BATCH.dump(batching.find(process(), account(), public_id))


@blueprint.get("/<uuid:public_id>/messages")
@describe(
    query=BatchPageQuerySchema,
    answers={200: Answer(ItemPageSchema, headers=NEXT)},
    problems=[Code.NOT_ALLOWED],
    scope=Scope.ADMIN,
)
def list_batch_messages(public_id: UUID) -> Any:
    """List what became of each message of a request, in the order in which they were named."""
    require_administrator(account())
    wanted = decoding.query(_PAGE_QUERY, PageQuery)
    page = batching.messages_of(process(), account(), public_id, limit=wanted.limit, cursor=wanted.cursor)
    return _ITEMS.dump(page), leads_on(".list_batch_messages", wanted, page.next_cursor, public_id=public_id)


def leads_on(route: str, wanted: PageQuery, next_cursor: object, **values: Any) -> dict[str, str]:
    """Return the header that leads to the next part, if there is one."""
    if next_cursor is None:
        return {}
    return {"Link": f'<{url_for(route, limit=wanted.limit, cursor=next_cursor, **values)}>; rel="next"'}
