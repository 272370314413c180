"""An organisation's switches."""

from typing import Any

from flask import Blueprint

from mailrecall import clock
from mailrecall.directory.tokens import Scope
from services.gateway import decoding, policies
from services.gateway.administration import require_administrator
from services.gateway.current import account, process
from services.gateway.describing import describe
from services.gateway.problems import Code
from services.gateway.schemas.policies import PolicyChangeSchema, PolicySchema

blueprint = Blueprint("policy", __name__, url_prefix="/admin/policy")

_POLICY = PolicySchema()
_CHANGE = PolicyChangeSchema()


@blueprint.get("")
@describe(answers={200: PolicySchema}, problems=[Code.NOT_ALLOWED], scope=Scope.ADMIN)
def show_policy() -> Any:
    """Return the organisation's switches."""
    return _POLICY.dump(policies.show(process(), account()))


@blueprint.patch("")
@describe(body=PolicyChangeSchema, answers={200: PolicySchema}, problems=[Code.NOT_ALLOWED], scope=Scope.ADMIN)
def change_policy() -> Any:
    """Set some of the organisation's switches; it counts for what is asked for from now on."""
    require_administrator(account())
    switches: dict[str, object] = decoding.json_body(_CHANGE, dict)
    # the domain reads them as they are stored
    plain = {name: getattr(value, "value", value) for name, value in switches.items()}
    return _POLICY.dump(policies.change(process(), account(), plain, now=clock.now()))
