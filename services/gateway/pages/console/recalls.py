"""The organisation's recalls: what each came to, who kept a copy (R23), undoing it (R26), trying again (R12)."""

from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, current_app, redirect, render_template, request, send_file, url_for
from marshmallow import ValidationError
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock, spreadsheets
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import LONGEST_REASON, ReasonError, State
from mailrecall.recalls.failures import Place
from services.gateway import administration, failing, limiting, overseeing, pacing, recalling
from services.gateway.current import account, process
from services.gateway.failing import FailedPage
from services.gateway.fields import FailureCursor
from services.gateway.pages import charts, live, reasons, sessions
from services.gateway.pages.console import cursors, wording
from services.gateway.pages.rendering import page
from services.gateway.problems import CATALOGUE, Code, Problem
from services.gateway.recalling import Progress
from services.gateway.watching import WATCH, Seen, Watch

blueprint = Blueprint("recalls", __name__, url_prefix="/recalls")

PAGE = 50
_CURSOR = FailureCursor()


@blueprint.get("")
def listed() -> AnyResponse:
    """List the recalls of the organisation's mail, newest first."""
    found = administration.recalls(process(), account(), limit=PAGE, cursor=cursors.number("cursor"))
    return page("console/recalls.html", recalls=found.recalls, next_cursor=found.next_cursor)


@blueprint.get("/<uuid:public_id>")
def show(public_id: UUID) -> AnyResponse:
    """R22: show how far a recall has got and what it came to; with who kept a copy, and its records."""
    return _show(public_id, "", None)


@blueprint.get("/<uuid:public_id>/events")
@limiting.exempt
def events(public_id: UUID) -> Response:
    """R22: keep the page up to date."""
    watched = recalling.watch(process(), account(), public_id)
    watch: Watch = current_app.extensions[WATCH]

    def written(seen: Seen) -> str:
        return render_template("console/recall_live.html", **live.of_recall(watched.progress(seen)))

    return live.stream(live.Part(watch, watched.seen.recall.id, lambda seen: seen.at_rest, written), watched.seen)


@blueprint.get("/<uuid:public_id>/pace")
def pace(public_id: UUID) -> Response:
    """Show how fast a settled recall went."""
    recall = recalling.visible(process().databases, account(), public_id)
    return page("recall_pace.html", settled=True, bars=charts.bars(pacing.pace(process().databases, recall)))


@blueprint.get("/<uuid:public_id>/failures.csv")
def export(public_id: UUID) -> Response:
    """R23: download the accounts whose copies stayed."""
    return send_file(
        failing.export(process(), account(), public_id),
        spreadsheets.MEDIA_TYPE,
        as_attachment=True,
        download_name=f"recall-{public_id}-failed.csv",
        etag=False,
        conditional=False,
    )


@blueprint.post("/<uuid:public_id>/again")
def again(public_id: UUID) -> AnyResponse:
    """R12: try once more what nobody answered for."""
    progress = recalling.find(process(), account(), public_id)
    asking = recalling.Asking(progress.author_copy_id, progress.recall.reason)
    try:
        recalling.ask(process(), account(), asking, now=clock.now())
    except Problem as problem:
        sessions.notify(wording.told(problem), "warning")
    return redirect(url_for("pages.console.recalls.show", public_id=public_id), 303)


@blueprint.post("/<uuid:public_id>/undo")
def undo(public_id: UUID) -> AnyResponse:
    """R26: have what the recall took put back."""
    given = request.form.get("reason", "")
    try:
        reason = reasons.typed(given)
    except ReasonError as wrong:
        return _show(public_id, given, str(wrong), HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        recalling.undo(process(), account(), public_id, reason, now=clock.now())
    except Problem as problem:
        if problem.code is Code.NOT_FOUND:
            raise
        return _show(public_id, given, wording.told(problem), CATALOGUE[problem.code].status)
    return redirect(url_for("pages.console.recalls.show", public_id=public_id), 303)


def _show(public_id: UUID, reason: str, wrong: str | None, status: int = HTTPStatus.OK) -> AnyResponse:
    now = clock.now()
    progress = recalling.find(process(), account(), public_id)
    recall = progress.recall
    settled = recall.state is State.SETTLED
    failed, kept_from = _failed(public_id) if settled else (None, False)
    trail = overseeing.audit_trail(process(), account(), recall=public_id, limit=PAGE, cursor=None)
    return page(
        "console/recall_progress.html" if "HX-Request" in request.headers else "console/recall.html",
        status,
        **live.of_recall(progress),
        at_rest=Seen(recall, progress.undo).at_rest,
        bars=charts.bars(pacing.pace(process().databases, recall)),
        pace_place=url_for("pages.console.recalls.pace", public_id=public_id),
        failed=failed,
        kept_from=kept_from,
        following=_CURSOR.write(failed.next_cursor) if failed and failed.next_cursor else None,
        can_undo=_can_undo(progress, now=now),
        records_of_recall=trail.records,
        reason=reason,
        wrong=wrong,
        longest=LONGEST_REASON,
    )


def _failed(public_id: UUID) -> tuple[FailedPage | None, bool]:
    """Return part of those who kept a copy, or that the policy keeps administrators from them."""
    try:
        return failing.page(process(), account(), public_id, limit=PAGE, cursor=_place()), False
    except Problem as problem:
        if problem.code is Code.NOT_ALLOWED:
            return None, True
        if problem.code is Code.NOT_SETTLED:
            # it is tried again since (R12)
            return None, False
        raise


def _place() -> Place | None:
    try:
        return _CURSOR.read(request.args["failed"]) if request.args.get("failed") else None
    except ValidationError:
        return None


def _can_undo(progress: Progress, *, now: datetime) -> bool:
    until = progress.restorable_until
    return until is not None and now <= until and progress.recall.tally[Outcome.RECALLED] > 0
