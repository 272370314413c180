"""Taking a message back: what would come of it, the reason, and what came of it while it goes on."""

from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock
from mailrecall.domain.recalls import LONGEST_REASON, ReasonError, State
from services.gateway import limiting, mailbox, pacing, previewing, recalling
from services.gateway.current import account, process
from services.gateway.pages import charts, live, reasons, sessions
from services.gateway.pages.rendering import page
from services.gateway.pages.wording import told
from services.gateway.problems import CATALOGUE, Code, Problem
from services.gateway.watching import WATCH, Seen, Watch

blueprint = Blueprint("recalls", __name__)
blueprint.before_request(sessions.require)

SOONER_IS_BETTER = timedelta(hours=1)
"""R29: after this the page says so."""


@blueprint.get("/recall/<copy_id:copy_id>")
def form(copy_id: int) -> AnyResponse:
    """R25: show what a recall would come to, and ask for the reason (R11)."""
    return _form(copy_id, "", None)


@blueprint.post("/recall/<copy_id:copy_id>")
def ask(copy_id: int) -> AnyResponse:
    """R11, R12: ask for the recall; asking again leads to the one there is."""
    given = request.form.get("reason", "")
    try:
        reason = reasons.typed(given)
    except ReasonError as wrong:
        return _form(copy_id, given, str(wrong), HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        answer = recalling.ask(process(), account(), recalling.Asking(copy_id, reason), now=clock.now())
    except Problem as problem:
        if problem.code is Code.NOT_FOUND:
            raise
        return _form(copy_id, given, told(problem), CATALOGUE[problem.code].status)
    if answer.progress is None:
        sessions.notify(_("An administrator has recalled this message already."), "warning")
        return redirect(url_for("pages.mail.folder", slug="sent"), 303)
    return redirect(url_for("pages.recalls.show", public_id=answer.public_id), 303)


@blueprint.get("/recalls/<uuid:public_id>")
def show(public_id: UUID) -> AnyResponse:
    """R11, R22: show how far a recall has got; the page keeps itself up to date until the end."""
    progress = recalling.find(process(), account(), public_id)
    settled = progress.recall.state is State.SETTLED
    own = not progress.recall.as_administrator and progress.recall.requested_by == account().id
    return page(
        "recall_progress.html" if "HX-Request" in request.headers else "recall.html",
        **live.of_recall(progress),
        addressees=recalling.addressees(process(), account(), public_id) if settled and own else [],
        bars=charts.bars(pacing.pace(process().databases, progress.recall)),
        pace_place=url_for("pages.recalls.pace", public_id=public_id),
    )


@blueprint.get("/recalls/<uuid:public_id>/pace")
def pace(public_id: UUID) -> AnyResponse:
    """Show how fast a settled recall went."""
    recall = recalling.visible(process().databases, account(), public_id)
    return page("recall_pace.html", settled=True, bars=charts.bars(pacing.pace(process().databases, recall)))


@blueprint.post("/recalls/<uuid:public_id>/again")
def again(public_id: UUID) -> AnyResponse:
    """R12: try once more what nobody answered for, for the reason that was given (R11)."""
    progress = recalling.find(process(), account(), public_id)
    asking = recalling.Asking(progress.author_copy_id, progress.recall.reason)
    try:
        recalling.ask(process(), account(), asking, now=clock.now())
    except Problem as problem:
        if problem.code is Code.NOT_FOUND:
            raise
        sessions.notify(told(problem) or _("This message cannot be recalled."), "warning")
    return redirect(url_for("pages.recalls.show", public_id=public_id), 303)


@blueprint.get("/recalls/<uuid:public_id>/events")
@limiting.exempt
def events(public_id: UUID) -> AnyResponse:
    """R22: keep the page up to date."""
    watched = recalling.watch(process(), account(), public_id)
    watch: Watch = current_app.extensions[WATCH]

    def at_rest(seen: Seen) -> bool:
        return seen.recall.state is State.SETTLED

    def written(seen: Seen) -> str:
        return render_template("recall_live.html", **live.of_recall(watched.progress(seen)))

    return live.stream(live.Part(watch, watched.seen.recall.id, at_rest, written), watched.seen)


def _form(copy_id: int, reason: str, wrong: str | None, status: int = HTTPStatus.OK) -> Response:
    now = clock.now()
    entry = mailbox.look(process().databases, account(), copy_id).entry
    foreseen, refused = None, None
    try:
        foreseen = previewing.preview(process(), account(), copy_id, now=now)
    except Problem as problem:
        refused = told(problem) or _("This message cannot be recalled.")
    if foreseen and foreseen.recall and not recalling.is_visible(process(), account(), foreseen.recall.public_id):
        refused = _("An administrator has recalled this message already.")
    return page(
        "recall_form.html",
        status,
        entry=entry,
        foreseen=foreseen,
        refused=refused,
        chart=charts.ring(foreseen.preview.tally, foreseen.preview.recipients) if foreseen else None,
        late=now - entry.accepted_at > SOONER_IS_BETTER,
        reason=reason,
        wrong=wrong,
        longest=LONGEST_REASON,
    )
