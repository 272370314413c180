"""R21, R22: requests for many recalls: how far each has got, all of them, and those that wait for a second one."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock
from mailrecall.domain.approvals import Approval
from services.gateway import batching, limiting
from services.gateway.batching import BATCH_WATCH, BatchWatch, ItemPage, Shown
from services.gateway.current import account, process
from services.gateway.pages import charts, live, sessions
from services.gateway.pages.console import cursors, wording
from services.gateway.pages.rendering import page
from services.gateway.problems import Code, Problem

blueprint = Blueprint("batches", __name__)

PAGE = 50


@blueprint.get("/batches")
def listed() -> AnyResponse:
    """List the organisation's requests, newest first."""
    return _list(waiting=False)


@blueprint.get("/approvals")
def waiting() -> AnyResponse:
    """R21: list what waits for a second administrator."""
    return _list(waiting=True)


def _list(*, waiting: bool) -> AnyResponse:
    found = batching.page(
        process(), account(), waiting=waiting, limit=PAGE, cursor=cursors.number("cursor"), now=clock.now()
    )
    return page("console/batches.html", batches=found.batches, waiting=waiting, next_cursor=found.next_cursor)


@blueprint.get("/batches/<uuid:public_id>")
def show(public_id: UUID) -> AnyResponse:
    """R22: show how far all recalls of a request have got, and each message's own result."""
    shown = batching.find(process(), account(), public_id)
    cursor = cursors.number("cursor")
    items = batching.messages_of(process(), account(), public_id, limit=PAGE, cursor=cursor)
    return page(
        "console/batch_progress.html" if "HX-Request" in request.headers else "console/batch.html",
        **_moving(shown, items, cursor),
        at_rest=shown.at_rest,
        asked="asked" in request.args,
    )


@blueprint.get("/batches/<uuid:public_id>/events")
@limiting.exempt
def events(public_id: UUID) -> Response:
    """R22: keep the page up to date."""
    now = batching.find(process(), account(), public_id)
    watch: BatchWatch = current_app.extensions[BATCH_WATCH]
    cursor = cursors.number("cursor")

    def written(shown: Shown) -> str:
        items = batching.page_of(shown.messages, limit=PAGE, cursor=cursor)
        return render_template("console/batch_live.html", **_moving(shown, items, cursor))

    return live.stream(live.Part(watch, now.batch.id, lambda shown: shown.at_rest, written), now)


def _moving(shown: Shown, items: ItemPage, cursor: int | None) -> dict[str, Any]:
    """Return what the part of the page that moves is made of."""
    return {
        "shown": shown,
        "batch": shown.batch,
        "progress": shown.progress,
        "items": items.messages,
        "next_cursor": items.next_cursor,
        "cursor": cursor,
        "chart": charts.ring(shown.progress.tally, shown.progress.recipients),
        "own": shown.batch.requested_by == account().id,
    }


@blueprint.post("/batches/<uuid:public_id>/approve")
def approve(public_id: UUID) -> AnyResponse:
    """R21: approve what another administrator has asked for."""
    return _decide(public_id, Approval.APPROVED, _("Approved: the recalls begin."))


@blueprint.post("/batches/<uuid:public_id>/reject")
def reject(public_id: UUID) -> AnyResponse:
    """R21: reject it: nothing is recalled."""
    return _decide(public_id, Approval.REJECTED, _("Rejected: nothing is recalled."))


def _decide(public_id: UUID, decision: Approval, said: str) -> AnyResponse:
    try:
        batching.decide(process(), account(), public_id, decision, now=clock.now())
    except Problem as problem:
        if problem.code not in (Code.OWN_REQUEST, Code.ALREADY_DECIDED):
            raise
        sessions.notify(wording.told(problem), "warning")
    else:
        sessions.notify(said)
    return redirect(url_for("pages.console.batches.show", public_id=public_id), 303)
