"""R30: mail that waits for a moderator."""

from http import HTTPStatus
from typing import Final

from flask import Blueprint, Response, redirect, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock
from mailrecall.domain.recalls import LONGEST_REASON, ReasonError
from mailrecall.mime import parts
from services.gateway import moderating
from services.gateway.api.messages import attached_file
from services.gateway.current import account, process
from services.gateway.pages import html_mail, reasons, sessions
from services.gateway.pages.console import cursors, wording
from services.gateway.pages.rendering import page
from services.gateway.problems import Code, Problem

blueprint = Blueprint("held", __name__, url_prefix="/held")

PAGE: Final = 50


@blueprint.get("")
def listed() -> AnyResponse:
    """Show what waits, the longest waiting first."""
    found = moderating.page(process(), account(), limit=PAGE, cursor=cursors.number("cursor"), now=clock.now())
    return page("console/held.html", held=found.messages, next_cursor=found.next_cursor)


@blueprint.get("/<copy_id:message_id>")
def show(message_id: int) -> AnyResponse:
    """Show a message to whoever decides on it; no recipient's copy is read by that."""
    return _show(message_id, "", None)


@blueprint.get("/<copy_id:message_id>/body")
def body(message_id: int) -> Response:
    """Show the message's HTML as its recipients will see it, without pictures from elsewhere."""
    content = moderating.content(process(), account(), message_id, now=clock.now())
    html = parts.readable(content).html or ""
    return html_mail.framed(html_mail.clean(html, parts.inline_images(content)), remote=False)


@blueprint.get("/<copy_id:message_id>/attachments/<index:index>")
def attachment(message_id: int, index: int) -> AnyResponse:
    """Download an attachment; no recipient's copy is read by that."""
    found, content = moderating.attachment(process(), account(), message_id, index, now=clock.now())
    return attached_file(content, found.content_type, found.filename)


@blueprint.post("/<copy_id:message_id>/release")
def release(message_id: int) -> AnyResponse:
    """Have a message delivered."""
    try:
        moderating.release(process(), account(), message_id, now=clock.now())
    except Problem as problem:
        return _not_held(problem)
    sessions.notify(_("Released: the message is being delivered."))
    return redirect(url_for("pages.console.held.listed"), 303)


@blueprint.post("/<copy_id:message_id>/reject")
def reject(message_id: int) -> AnyResponse:
    """Have nobody get a message; its sender is told why."""
    given = request.form.get("reason", "")
    try:
        reason = reasons.typed(given)
    except ReasonError as wrong:
        return _show(message_id, given, str(wrong), HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        moderating.reject(process(), account(), message_id, reason, now=clock.now())
    except Problem as problem:
        return _not_held(problem)
    sessions.notify(_("Rejected: nobody gets the message, and its sender is told why."))
    return redirect(url_for("pages.console.held.listed"), 303)


def _not_held(problem: Problem) -> AnyResponse:
    if problem.code is not Code.NOT_HELD:
        raise problem
    sessions.notify(wording.told(problem), "warning")
    return redirect(url_for("pages.console.held.listed"), 303)


def _show(message_id: int, reason: str, wrong: str | None, status: int = HTTPStatus.OK) -> AnyResponse:
    try:
        shown = moderating.show(process(), account(), message_id, now=clock.now())
    except Problem as problem:
        return _not_held(problem)
    html = shown.readable.html
    return page(
        "console/held_message.html",
        status,
        shown=shown,
        held=shown.held,
        text=shown.readable.text,
        has_html=html is not None,
        remote_images=html_mail.clean(html, {}).remote_images if html is not None else 0,
        reason=reason,
        wrong=wrong,
        longest=LONGEST_REASON,
    )
