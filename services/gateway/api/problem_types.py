"""The pages that a problem's `type` leads to (RFC 9457 section 3.1.1)."""

from typing import Any

from flask import Blueprint

from services.gateway.describing import SignIn, describe
from services.gateway.problems import Code, catalogue_entry, not_found
from services.gateway.schemas.problems import ProblemTypeSchema, ProblemTypesSchema

blueprint = Blueprint("problem_types", __name__, url_prefix="/problems")


@blueprint.get("")
@describe(answers={200: ProblemTypesSchema}, sign_in=SignIn.NOBODY)
def list_problem_types() -> Any:
    """Return all problems there are."""
    return {"problems": [catalogue_entry(code) for code in Code]}


@blueprint.get("/<name>")
@describe(answers={200: ProblemTypeSchema}, sign_in=SignIn.NOBODY)
def show_problem_type(name: str) -> Any:
    """Return what a problem's code means."""
    try:
        return catalogue_entry(Code(name))
    except ValueError:
        raise not_found("problem type") from None
