"""The pages that people use in a browser: webmail for everybody, a console for administrators.

Rendered here with Jinja, made quick with htmx, whole without scripts. They call the same use cases as the API does.
"""

from flask import Blueprint, Flask, request
from werkzeug.wrappers import Response

from services.gateway import limiting
from services.gateway.pages import (
    assets,
    compose,
    console,
    csrf,
    errors,
    help_page,
    languages,
    mail,
    preferences,
    provider_sign_in,
    recalls,
    rendering,
    sessions,
    signing_in,
)
from services.gateway.settings import GatewaySettings

_OPEN = (signing_in, provider_sign_in, help_page)
"""What is there for everybody."""
_INSIDE = (mail, compose, recalls, preferences, console)


def register(app: Flask, settings: GatewaySettings) -> None:
    """Give the application its pages; after the API, whose errors stay its own."""
    languages.register(app)
    assets.register(app)
    rendering.register(app)
    provider_sign_in.register(app, settings)
    pages = Blueprint("pages", __name__, template_folder="templates")
    pages.before_request(sessions.load)
    pages.before_request(limiting.count_page)
    pages.before_request(sessions.bound)
    pages.before_request(_sign_in_first)
    pages.before_request(csrf.check)
    for subject in (*_OPEN, *_INSIDE):
        pages.register_blueprint(subject.blueprint)
    errors.register(app, pages)
    app.register_blueprint(pages)


def _sign_in_first() -> Response | None:
    """Ask to sign in before anything else is looked at: the token of a form is of a session that is over."""
    if request.blueprint in {f"pages.{subject.blueprint.name}" for subject in _OPEN}:
        return None
    return sessions.require()
