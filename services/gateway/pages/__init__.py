"""The pages that people use in a browser: webmail for everybody, a console for administrators.

Rendered here with Jinja, made quick with htmx, whole without scripts. They call the same use cases as the API does.
"""

from flask import Blueprint, Flask

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
    pages.before_request(csrf.check)
    for subject in (signing_in, provider_sign_in, help_page, mail, compose, recalls, preferences, console):
        pages.register_blueprint(subject.blueprint)
    errors.register(app, pages)
    app.register_blueprint(pages)
