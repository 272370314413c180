"""The settings page: what somebody can choose for themselves."""

from typing import cast

from flask import Blueprint, Response, redirect, request, url_for
from flask_babel import gettext as _
from flask_babel import refresh
from werkzeug.wrappers import Response as AnyResponse

from mailrecall.directory import accounts
from mailrecall.directory import sessions as directory
from mailrecall.directory.lookup import Language
from services.gateway.current import process
from services.gateway.pages import languages, rendering, sessions, signing_in
from services.gateway.pages.rendering import page
from services.gateway.schemas.sending import LONGEST_DELAY

blueprint = Blueprint("preferences", __name__, url_prefix="/settings")
blueprint.before_request(sessions.require)

DELAYS = (0, 5, 10, 20, 30, 60)
"""Seconds that the page offers to wait before a message goes out (R28)."""


@blueprint.get("")
def form() -> AnyResponse:
    """Show what is chosen."""
    session = sessions.signed_in()
    with process().databases.control() as control:
        delay = accounts.undo_send_of(control, session.account.id)
    return page(
        "settings.html",
        chosen_language=languages.language(),
        chosen_zone=session.time_zone or "",
        browser_zone=languages.browser_zone(),
        zones=languages.zones(),
        delay=delay,
        delays=sorted({*DELAYS, delay}),
        themes=rendering.THEMES,
    )


@blueprint.post("")
def save() -> AnyResponse:
    """Keep what was chosen; what the page does not offer is left as it is."""
    session = sessions.signed_in()
    response = cast("Response", redirect(url_for("pages.preferences.form"), 303))
    zone, delay = request.form.get("time_zone"), request.form.get("delay", "")
    with process().databases.control() as control:
        if zone == "" or languages.is_zone(zone):
            directory.choose_time_zone(control, session.account.id, zone or None)
        if delay.isdecimal() and int(delay[:3]) <= LONGEST_DELAY:
            accounts.set_undo_send(control, session.account.id, int(delay[:3]))
    chosen = request.form.get("language")
    if chosen in languages.LANGUAGES:
        signing_in.keep_language(response, cast("Language", chosen))
        sessions.load()
        refresh()
    signing_in.keep_theme(response, request.form.get("theme", ""))
    sessions.notify(_("Your settings are saved."))
    return response
