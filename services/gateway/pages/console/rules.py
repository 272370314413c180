"""R30: the rules that hold mail for a moderator; for administrators."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, redirect, request, url_for
from flask_babel import gettext as _
from marshmallow import ValidationError
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock
from mailrecall.domain.audit import LONGEST_KEYWORD, Criteria
from services.gateway import moderating
from services.gateway.current import account, process
from services.gateway.pages import sessions
from services.gateway.pages.rendering import page
from services.gateway.problems import Code, FieldError, Problem
from services.gateway.schemas.moderation import NewRuleSchema

blueprint = Blueprint("rules", __name__, url_prefix="/rules")

_RULE: Final = NewRuleSchema()
_FIELDS: Final = ("name", "group_size", "sender", "keyword")


@blueprint.get("")
def listed() -> AnyResponse:
    """Show the rules."""
    return _list({}, {})


@blueprint.post("")
def add() -> AnyResponse:
    """Add a rule."""
    typed = {name: request.form.get(name, "").strip() for name in _FIELDS}
    typed["external"] = "true" if request.form.get("external") == "true" else ""
    wanted: dict[str, Any] = {name: value for name, value in typed.items() if value}
    wrong: dict[str, str] = {}
    try:
        rule = _RULE.load(wanted)
        name = rule.pop("name")
        moderating.add_rule(process(), account(), name, Criteria(**rule), now=clock.now())
    except ValidationError as error:
        wrong = {_field(name): _told(name) for name in error.messages_dict}
    except Problem as problem:
        if problem.code is not Code.INVALID:
            raise
        wrong = {_field(error.pointer.removeprefix("#/")): _refused(error) for error in problem.errors}
    if wrong:
        return _list(typed, wrong, HTTPStatus.UNPROCESSABLE_ENTITY)
    sessions.notify(_("The rule counts for what is sent from now on."))
    return redirect(url_for("pages.console.rules.listed"), 303)


@blueprint.post("/<index:rule_id>/remove")
def remove(rule_id: int) -> AnyResponse:
    """Remove a rule; what it holds stays held."""
    moderating.remove_rule(process(), account(), rule_id, now=clock.now())
    sessions.notify(_("The rule is removed; what it holds stays held."))
    return redirect(url_for("pages.console.rules.listed"), 303)


def _field(name: str) -> str:
    return name if name in _FIELDS else "keyword"


def _told(name: str) -> str:
    match name:
        case "name":
            return str(_("Give the rule a name."))
        case "group_size":
            return str(_("Give a whole number, 1 or more."))
        case "sender":
            return str(_("Give a mail address, or @ and a domain."))
        case _:
            return str(_("Say at least one thing that the rule looks for."))


def _refused(error: FieldError) -> str:
    match error.code:
        case "audit_rule_taken":
            return str(_("There is a rule of that name already."))
        case "audit_rule_refused":
            return str(_("Give at most %(most)s characters.", most=LONGEST_KEYWORD))
        case _:
            return _told(error.pointer.removeprefix("#/"))


def _list(typed: Mapping[str, str], wrong: Mapping[str, str], status: int = HTTPStatus.OK) -> AnyResponse:
    rules = moderating.rules(process(), account())
    return page("console/rules.html", status, rules=rules, typed=typed, wrong=wrong)
