"""R31: the help page, in both languages, for users and administrators."""

from flask import Blueprint
from werkzeug.wrappers import Response

from mailrecall.directory import lookup
from mailrecall.domain.policy import Policy
from services.gateway.current import process
from services.gateway.pages import sessions
from services.gateway.pages.rendering import page
from services.gateway.pages.wording import EXPLAINED

blueprint = Blueprint("help", __name__)


@blueprint.get("/help")
def show() -> Response:
    """Explain the rules, as the reader's organisation has set them."""
    return page("help.html", explained=EXPLAINED, policy=_policy())


def _policy() -> Policy | None:
    """Return the switches that hold for the reader; None where nobody is signed in, and any may hold."""
    session = sessions.current()
    if session is None:
        return None
    with process().databases.control() as control:
        return lookup.policy_of(control, session.account.organisation_id)
