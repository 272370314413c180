"""What a route can ask of the request it serves: the process it runs in, and who is at the other end."""

from dataclasses import dataclass
from typing import cast

from flask import current_app, g

from mailrecall.directory.lookup import Account
from mailrecall.directory.tokens import Scope
from mailrecall.wiring import Process
from services.gateway.settings import GatewaySettings

EXTENSION = "mailrecall"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed in, and the token they did it with, if they did."""

    account: Account
    """A token without the scope `admin` makes it a plain user's."""
    token: str | None
    scopes: frozenset[Scope] | None = None
    """What the token is for; None where all is allowed that the account may do."""


def process() -> Process[GatewaySettings]:
    """Return the settings and databases of this process."""
    return cast("Process[GatewaySettings]", current_app.extensions[EXTENSION])


def caller() -> Caller:
    """Return who is at the other end; only routes that ask for authentication may ask this."""
    return cast("Caller", g.caller)


def account() -> Account:
    """Return the account that is signed in."""
    return caller().account


def set_caller(value: Caller) -> None:
    """Remember who is at the other end for the rest of the request."""
    g.caller = value
