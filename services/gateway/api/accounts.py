"""Who one is, and what one's mailbox does by itself."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint
from werkzeug.wrappers import Response

from mailrecall.domain.addresses import Address
from services.gateway import decoding, forwarding
from services.gateway.current import account, process
from services.gateway.schemas.accounts import AccountSchema, ForwardingSchema

blueprint = Blueprint("accounts", __name__)

_ACCOUNT = AccountSchema()
_FORWARDING = ForwardingSchema()


@dataclass(frozen=True, slots=True)
class _Forwarding:
    target: Address
    keep_copy: bool


@blueprint.get("/account")
def show_account() -> Any:
    """Return the account that is signed in."""
    return _ACCOUNT.dump(account())


@blueprint.get("/account/forwarding")
def show_forwarding() -> Any:
    """R4: return where one's mail goes on to."""
    return _FORWARDING.dump(forwarding.find(process(), account()))


@blueprint.put("/account/forwarding")
def set_forwarding() -> Any:
    """R4: have one's mail passed on."""
    wanted = decoding.json_body(_FORWARDING, _Forwarding)
    return _FORWARDING.dump(forwarding.put(process(), account(), wanted.target, keep_copy=wanted.keep_copy))


@blueprint.delete("/account/forwarding")
def stop_forwarding() -> Any:
    """R4: have one's mail stay."""
    forwarding.remove(process(), account())
    return Response(status=204)
