"""Tokens stand for a password for a while, so that a program need not keep it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, request
from werkzeug.wrappers import Response

from mailrecall import clock
from mailrecall.directory import authentication as directory
from services.gateway import authentication, decoding
from services.gateway.current import account, caller, process
from services.gateway.problems import not_found
from services.gateway.schemas.accounts import NothingSchema, TokenSchema

blueprint = Blueprint("tokens", __name__, url_prefix="/tokens")

_NOTHING = NothingSchema()
_TOKEN = TokenSchema()


@dataclass(frozen=True, slots=True)
class _Issued:
    token: str
    expires_at: datetime


@blueprint.post("")
def create_token() -> Any:
    """Issue a token to whoever gives address and password."""
    authentication.require_password()
    if request.content_length:
        decoding.json_body(_NOTHING, dict)
    now, lifetime = clock.now(), timedelta(seconds=process().settings.token_lifetime)
    with process().databases.control() as control:
        token = directory.issue_token(control, account().id, lifetime=lifetime, now=now)
    return _TOKEN.dump(_Issued(token, now + lifetime)), 201


@blueprint.delete("/current")
def delete_token() -> Any:
    """End the token that the request bears."""
    authentication.require_token()
    with process().databases.control() as control:
        revoked = directory.revoke_token(control, caller().token or "")
    if not revoked:
        raise not_found("token")
    return Response(status=204)
