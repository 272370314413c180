"""R31: the help page, in both languages, for users and administrators."""

from flask import Blueprint
from werkzeug.wrappers import Response

from services.gateway.pages.rendering import page
from services.gateway.pages.wording import EXPLAINED

blueprint = Blueprint("help", __name__)


@blueprint.get("/help")
def show() -> Response:
    """Explain the rules."""
    return page("help.html", explained=EXPLAINED)
