"""R19 to R27, R30: the console, for whoever administers an organisation; to others it does not exist.

Held mail alone is for moderators as well.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, current_app, request
from werkzeug.wrappers import Response

from mailrecall.domain.recalls import Result, State
from services.gateway.pages import sessions
from services.gateway.pages.console import (
    accounts,
    batches,
    groups,
    held,
    holds,
    policy,
    recalls,
    rules,
    searching,
    state,
    trail,
    wording,
)

blueprint = Blueprint("console", __name__, url_prefix="/console", template_folder="templates")


@blueprint.before_request
def _only_theirs() -> Response | None:
    """Everything is for administrators, whatever is added here, but what is named."""
    if request.blueprint == "pages.console.held":
        return sessions.require_moderator()
    return sessions.require_administrator()


blueprint.add_url_rule("", "home", searching.home)

for subject in (searching, batches, recalls, accounts, groups, held, rules, holds, trail, policy, state):
    blueprint.register_blueprint(subject.blueprint)

_FILTERS: Mapping[str, Callable[..., Any]] = {
    "refusal": wording.refusal,
    "batch_state": wording.batch_state,
    "event": wording.event,
    "actor": wording.actor,
    "detail_name": wording.detail_name,
    "detail": wording.detail,
    "explained": wording.explained,
    "as_state": State,
    "as_result": lambda value: Result(value) if value else None,
}

for name, written in _FILTERS.items():
    blueprint.add_app_template_filter(written, name)


@blueprint.context_processor
def _places() -> dict[str, Any]:
    """Tell the frame which pages there are."""
    return {"known_endpoints": current_app.view_functions}
