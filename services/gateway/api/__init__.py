"""Version 1 of the API: a blueprint for each subject. A route decodes, calls a use case and encodes, no more."""

from flask import Blueprint, Flask

from services.gateway import authentication
from services.gateway.api import (
    accounts,
    audit_rules,
    drafts,
    folders,
    health,
    held,
    messages,
    problem_types,
    recalls,
    tokens,
)


def register(app: Flask) -> None:
    """Give the application its routes."""
    signed_in = Blueprint("v1", __name__, url_prefix="/api/v1")
    signed_in.before_request(authentication.require)
    for subject in (accounts, audit_rules, drafts, folders, held, messages, recalls):
        signed_in.register_blueprint(subject.blueprint)
    app.register_blueprint(signed_in)
    for subject in (tokens, problem_types):
        app.register_blueprint(subject.blueprint, url_prefix="/api/v1" + (subject.blueprint.url_prefix or ""))
    app.register_blueprint(health.blueprint)
