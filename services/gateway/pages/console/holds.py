"""R26: accounts under a legal hold: nothing that concerns them is purged."""

from http import HTTPStatus

from flask import Blueprint, redirect, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock
from mailrecall.domain.recalls import LONGEST_REASON, ReasonError
from services.gateway import overseeing
from services.gateway.current import account, process
from services.gateway.pages import reasons, sessions
from services.gateway.pages.rendering import page
from services.gateway.problems import Code, Problem

blueprint = Blueprint("holds", __name__, url_prefix="/holds")


@blueprint.get("")
def listed() -> AnyResponse:
    """Show who is held, and the form to hold somebody."""
    return _page({}, {})


@blueprint.post("")
def place() -> AnyResponse:
    """Hold an account."""
    typed = {name: request.form.get(name, "").replace("\0", "").strip() for name in ("address", "reason")}
    wrong: dict[str, str] = {}
    reason = ""
    try:
        reason = reasons.typed(typed["reason"])
    except ReasonError as none:
        wrong["reason"] = str(none)
    if not typed["address"]:
        wrong["address"] = _("Name an account of your organisation.")
    if not wrong:
        try:
            _hold, placed = overseeing.place_hold(process(), account(), typed["address"], reason, now=clock.now())
        except Problem as problem:
            if problem.code is not Code.NOT_FOUND:
                raise
            wrong["address"] = _("There is no such account in your organisation.")
        else:
            if placed:
                sessions.notify(_("%(address)s is held: nothing that concerns it is purged.", address=typed["address"]))
            else:
                sessions.notify(_("%(address)s was held already.", address=typed["address"]), "warning")
            return redirect(url_for("pages.console.holds.listed"), 303)
    return _page(typed, wrong, HTTPStatus.UNPROCESSABLE_ENTITY)


@blueprint.post("/lift")
def lift() -> AnyResponse:
    """Hold an account no longer."""
    address = request.form.get("address", "").replace("\0", "")
    overseeing.lift_hold(process(), account(), address, now=clock.now())
    sessions.notify(_("%(address)s is held no longer.", address=address))
    return redirect(url_for("pages.console.holds.listed"), 303)


def _page(typed: dict[str, str], wrong: dict[str, str], status: int = HTTPStatus.OK) -> AnyResponse:
    return page(
        "console/holds.html",
        status,
        holds=overseeing.legal_holds(process(), account()),
        typed=typed,
        wrong=wrong,
        longest=LONGEST_REASON,
    )
