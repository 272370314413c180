"""Recalls."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Blueprint, send_file, url_for

from mailrecall import clock, spreadsheets
from mailrecall.directory.tokens import Scope
from mailrecall.domain.recalls import Refusal
from mailrecall.domain.undo import UndoRefusal
from mailrecall.recalls import failures, listing
from services.gateway import decoding, failing, idempotency, limiting, recalling
from services.gateway.api import streams
from services.gateway.api.answers import conditional
from services.gateway.current import account, process
from services.gateway.describing import IF_NONE_MATCH, UNCHANGED, WITH_ETAG, Answer, describe
from services.gateway.idempotency import Keep
from services.gateway.problems import Code
from services.gateway.schemas.messages import RECALL_LINK
from services.gateway.schemas.recalls import (
    AddresseeSchema,
    AddresseesSchema,
    AskingSchema,
    FailedPageSchema,
    FailureQuerySchema,
    KnownSchema,
    ProgressSchema,
    RecallPageQuerySchema,
    RecallPageSchema,
    UndoingSchema,
)

blueprint = Blueprint("recalls", __name__, url_prefix="/recalls")

_WHERE = {"Location": "The recall.", "Link": 'The recall, `rel="status"` (RFC 8631).'}

_ASKING = AskingSchema()
_PROGRESS = ProgressSchema()
_PAGE_QUERY = RecallPageQuerySchema()
_PAGE = RecallPageSchema()
_ADDRESSEES = AddresseeSchema(many=True)
_FAILURE_QUERY = FailureQuerySchema()
_FAILED = FailedPageSchema()
_UNDOING = UndoingSchema()


@dataclass(frozen=True, slots=True)
class _Undoing:
    reason: str | None


@dataclass(frozen=True, slots=True)
class _PageQuery:
    limit: int
    cursor: int | None


@dataclass(frozen=True, slots=True)
class _FailureQuery:
    limit: int
    cursor: failures.Place | None


@blueprint.post("")
@describe(
    body=AskingSchema,
    answers={
        200: Answer((ProgressSchema, KnownSchema), says="There was one already.", headers=_WHERE),
        202: Answer(ProgressSchema, says="The recall begins.", headers=_WHERE),
    },
    headers=idempotency.DESCRIBED,
    problems=[*(Code(refusal.value) for refusal in Refusal), *idempotency.PROBLEMS],
    scope=Scope.RECALL,
)
def ask_for_recall() -> Any:
    """R11, R12: ask for a message to be recalled; asking again gives the recall there is."""
    asking = decoding.json_body(_ASKING, recalling.Asking)
    return idempotency.once(asking, lambda keep: _asked(asking, keep))


def _asked(asking: recalling.Asking, keep: Keep) -> idempotency.Answer:
    found = recalling.ask(process(), account(), asking, now=clock.now())
    link = RECALL_LINK.format(found.public_id)
    # the author of a message that an administrator recalled learns that it was, and nothing of how
    body = _PROGRESS.dump(found.progress) if found.progress else {"id": str(found.public_id)}
    # RFC 8631: the resource that tells how far it has got
    answer = body, 202 if found.created else 200, {"Location": link, "Link": f'<{link}>; rel="status"'}
    with process().databases.control() as control:
        # after the fact: should this be lost, asking again gives the same recall (R12)
        keep(control, answer)
    return answer


@blueprint.get("")
@describe(
    query=RecallPageQuerySchema,
    answers={200: Answer(RecallPageSchema, headers={"Link": 'The next part, `rel="next"`, if there is one.'})},
    scope=Scope.READ,
)
def list_recalls() -> Any:
    """Return the recalls that one asked for, newest first."""
    wanted = decoding.query(_PAGE_QUERY, _PageQuery)
    with process().databases.control() as control:
        page = listing.requested_by(control, account().id, limit=wanted.limit, before=wanted.cursor)
    if page.next_cursor is None:
        return _PAGE.dump(page)
    following = url_for(".list_recalls", limit=wanted.limit, cursor=page.next_cursor)
    return _PAGE.dump(page), {"Link": f'<{following}>; rel="next"'}


@blueprint.get("/<uuid:public_id>")
@describe(
    answers={200: Answer(ProgressSchema, headers=WITH_ETAG), 304: UNCHANGED}, headers=IF_NONE_MATCH, scope=Scope.READ
)
def show_recall(public_id: UUID) -> Any:
    """Return how far a recall has got, and what it came to."""
    return conditional(_PROGRESS.dump(recalling.find(process(), account(), public_id)))


@blueprint.post("/<uuid:public_id>/undo")
@describe(
    body=UndoingSchema,
    body_may_be_left_out=True,
    answers={
        200: Answer(ProgressSchema, says="It was asked for already.", headers=_WHERE),
        202: Answer(ProgressSchema, says="The copies are being put back.", headers=_WHERE),
    },
    problems=[Code(refusal.value) for refusal in UndoRefusal],
    scope=Scope.ADMIN,
)
def undo_recall(public_id: UUID) -> Any:
    """R26: put back what a recall took: the same copies, where they lay, unread; for administrators."""
    reason = decoding.json_body(_UNDOING, _Undoing).reason if decoding.has_body() else None
    answer = recalling.undo(process(), account(), public_id, reason, now=clock.now())
    link = RECALL_LINK.format(public_id)
    headers = {"Location": link, "Link": f'<{link}>; rel="status"'}
    return _PROGRESS.dump(answer.progress), 202 if answer.created else 200, headers


@blueprint.get("/<uuid:public_id>/events")
@limiting.exempt
@describe(
    answers={
        200: Answer(says="Server-sent events (WHATWG HTML, 9.2).", media_type="text/event-stream"),
        204: Answer(says="It has settled, and `Last-Event-ID` says that you know: do not come back."),
    },
    headers={"Last-Event-ID": "The id of the last event that you have; browsers send it when they come back."},
    scope=Scope.READ,
)
def watch_recall(public_id: UUID) -> Any:
    """R22: tell how far a recall has got whenever that changes, until it has settled.

    Each event is named `progress`, the last one `settled`, and has what showing the recall would answer. Where nothing
    changes, a comment every ten seconds shows that the connection is there. After some minutes the connection ends, and
    whoever watches comes back. Where there is no room for one more, the answer is 503 and polling does.
    """
    return streams.stream(recalling.watch(process(), account(), public_id))


@blueprint.get("/<uuid:public_id>/recipients")
@describe(answers={200: AddresseesSchema}, problems=[Code.NOT_SETTLED], scope=Scope.READ)
def show_recipients(public_id: UUID) -> Any:
    """Return what became of each recipient that the sender named directly, once the recall has settled."""
    return {"recipients": _ADDRESSEES.dump(recalling.addressees(process(), account(), public_id))}


@blueprint.get("/<uuid:public_id>/failures")
@describe(
    query=FailureQuerySchema,
    answers={200: Answer(FailedPageSchema, headers={"Link": 'The next part, `rel="next"`, if there is one.'})},
    problems=[Code.NOT_ALLOWED, Code.NOT_SETTLED],
    scope=Scope.READ,
)
def list_failures(public_id: UUID) -> Any:
    """R23: list the accounts whose copies stayed, with the reasons, once the recall has settled."""
    wanted = decoding.query(_FAILURE_QUERY, _FailureQuery)
    page = failing.page(process(), account(), public_id, limit=wanted.limit, cursor=wanted.cursor)
    document = _FAILED.dump(page)
    if page.next_cursor is None:
        return document
    following = url_for(".list_failures", public_id=public_id, limit=wanted.limit, cursor=document["next_cursor"])
    return document, {"Link": f'<{following}>; rel="next"'}


@blueprint.get("/<uuid:public_id>/failures.csv")
@describe(
    answers={200: Answer(says="The file.", media_type=spreadsheets.MEDIA_TYPE)},
    problems=[Code.NOT_ALLOWED, Code.NOT_SETTLED],
    scope=Scope.READ,
)
def export_failures(public_id: UUID) -> Any:
    """R23: download the accounts whose copies stayed, as a file for spreadsheets."""
    file = failing.export(process(), account(), public_id)
    return send_file(
        file,
        spreadsheets.MEDIA_TYPE,
        as_attachment=True,
        download_name=f"recall-{public_id}-failed.csv",
        etag=False,
        conditional=False,
    )
