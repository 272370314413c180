"""Who one is."""

from typing import Any

from flask import Blueprint

from services.gateway.current import account
from services.gateway.schemas.accounts import AccountSchema

blueprint = Blueprint("accounts", __name__)

_ACCOUNT = AccountSchema()


@blueprint.get("/account")
def show_account() -> Any:
    """Return the account that is signed in."""
    return _ACCOUNT.dump(account())
