"""Tokens stand for a password for a while, so that a program need not keep it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint
from werkzeug.wrappers import Response

from mailrecall import clock
from mailrecall.directory import authentication as directory
from mailrecall.directory import tokens
from mailrecall.directory.tokens import Scope, TooManyTokensError
from services.gateway import decoding
from services.gateway.current import account, caller, process
from services.gateway.describing import SignIn, describe
from services.gateway.problems import Code, Problem, not_found
from services.gateway.schemas.tokens import NewTokenSchema, TokenSchema, TokensSchema

blueprint = Blueprint("tokens", __name__, url_prefix="/tokens")

_NEW = NewTokenSchema()
_TOKEN = TokenSchema()
_TOKENS = TokensSchema()


@dataclass(frozen=True, slots=True)
class _New:
    name: str | None = None
    scopes: Sequence[Scope] | None = None
    lifetime: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Issued:
    token: str
    expires_at: datetime
    id: int | None = None
    name: str | None = None
    scopes: Sequence[str] = tuple(Scope)


@blueprint.post("")
@describe(
    body=NewTokenSchema,
    body_may_be_left_out=True,
    answers={201: TokenSchema},
    problems=[Code.TOO_MANY_TOKENS],
    sign_in=SignIn.PASSWORD,
)
def create_token() -> Any:
    """Issue a token to whoever gives address and password.

    Without a name it stands for a sign-in, and may do all that the account may. With name and scopes it is a personal
    one, to be listed and revoked. Either is shown this once.
    """
    wanted = decoding.json_body(_NEW, _New) if decoding.has_body() else _New()
    now = clock.now()
    lifetime = timedelta(seconds=wanted.lifetime or process().settings.token_lifetime)
    with process().databases.control() as control:
        if wanted.name is None:
            secret = directory.issue_token(control, account().id, lifetime=lifetime, now=now)
            return _TOKEN.dump(_Issued(token=secret, expires_at=now + lifetime)), 201
        try:
            secret, token = tokens.issue(
                control, account().id, wanted.name, wanted.scopes or (), lifetime=lifetime, now=now
            )
        except TooManyTokensError:
            detail = f"One account has {tokens.MOST_TOKENS} personal tokens at most; revoke some first."
            raise Problem(Code.TOO_MANY_TOKENS, detail) from None
    issued = _Issued(token=secret, expires_at=token.expires_at, id=token.id, name=token.name, scopes=token.scopes)
    return _TOKEN.dump(issued), 201


@blueprint.get("")
@describe(answers={200: TokensSchema}, scope=Scope.ADMIN)
def list_tokens() -> Any:
    """Return one's personal tokens, newest first; there are a hundred at most."""
    with process().databases.control() as control:
        return _TOKENS.dump({"tokens": tokens.of_account(control, account().id, now=clock.now())})


@blueprint.delete("/<copy_id:token_id>")
@describe(answers={204: None}, scope=Scope.ADMIN)
def revoke_token(token_id: int) -> Any:
    """End one of one's personal tokens."""
    with process().databases.control() as control:
        revoked = tokens.revoke(control, account().id, token_id)
    if not revoked:
        raise not_found("token")
    return Response(status=204)


@blueprint.delete("/current")
@describe(answers={204: None}, problems=[Code.NOT_FOUND], sign_in=SignIn.TOKEN)
def delete_token() -> Any:
    """End the token that the request bears."""
    with process().databases.control() as control:
        revoked = directory.revoke_token(control, caller().token or "")
    if not revoked:
        raise not_found("token")
    return Response(status=204)
