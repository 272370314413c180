"""R30: which messages wait for a moderator."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint
from werkzeug.wrappers import Response

from mailrecall import clock
from mailrecall.directory.tokens import Scope
from mailrecall.domain.audit import Criteria
from services.gateway import decoding, moderating
from services.gateway.current import account, process
from services.gateway.describing import describe
from services.gateway.problems import Code
from services.gateway.schemas.moderation import NewRuleSchema, RuleSchema, RulesSchema

blueprint = Blueprint("audit_rules", __name__, url_prefix="/audit-rules")

_NEW = NewRuleSchema()
_RULE = RuleSchema()


@dataclass(frozen=True, slots=True)
class _New:
    name: str
    group_size: int | None
    sender: str | None
    keyword: str | None
    external: bool


@blueprint.get("")
@describe(answers={200: RulesSchema}, problems=[Code.NOT_ALLOWED], scope=Scope.ADMIN)
def list_rules() -> Any:
    """Return the organisation's rules."""
    return {"rules": _RULE.dump(moderating.rules(process(), account()), many=True)}


@blueprint.post("")
@describe(body=NewRuleSchema, answers={201: RuleSchema}, problems=[Code.NOT_ALLOWED], scope=Scope.ADMIN)
def add_rule() -> Any:
    """Add a rule."""
    new = decoding.json_body(_NEW, _New)
    criteria = Criteria(group_size=new.group_size, sender=new.sender, keyword=new.keyword, external=new.external)
    rule = _RULE.dump(moderating.add_rule(process(), account(), new.name, criteria, now=clock.now()))
    return rule, 201, {"Location": rule["link"]}


@blueprint.delete("/<index:rule_id>")
@describe(answers={204: None}, problems=[Code.NOT_ALLOWED], scope=Scope.ADMIN)
def remove_rule(rule_id: int) -> Any:
    """Remove a rule."""
    moderating.remove_rule(process(), account(), rule_id, now=clock.now())
    return Response(status=204)
