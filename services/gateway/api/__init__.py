"""Version 1 of the API: a blueprint for each subject. A route decodes, calls a use case and encodes, no more."""

from flask import Blueprint, Flask

from services.gateway import authentication, decoding
from services.gateway.api import (
    accounts,
    admin_messages,
    approvals,
    audit_rules,
    drafts,
    folders,
    health,
    held,
    messages,
    oversight,
    policy,
    problem_types,
    recall_batches,
    recalls,
    reference,
    tokens,
)


def register(app: Flask) -> None:
    """Give the application its routes."""
    version_1 = Blueprint("v1", __name__, url_prefix="/api/v1")
    version_1.before_request(authentication.require)
    version_1.before_request(decoding.refuse_undeclared_parameters)
    subjects = (
        accounts,
        admin_messages,
        approvals,
        audit_rules,
        drafts,
        folders,
        held,
        messages,
        oversight,
        policy,
        problem_types,
        recall_batches,
        recalls,
        reference,
        tokens,
    )
    for subject in subjects:
        version_1.register_blueprint(subject.blueprint)
    app.register_blueprint(version_1)
    app.register_blueprint(health.blueprint)
