"""Cookies of the pages: for this host alone, over TLS where people come by TLS, not sent along from other sites."""

from datetime import timedelta

from flask import Response

from services.gateway.current import process


def keep(response: Response, name: str, value: str, *, max_age: timedelta | None = None) -> None:
    """Give the browser a cookie that scripts cannot read; without `max_age` until the browser closes."""
    response.set_cookie(name, value, max_age=max_age, path="/", secure=is_https(), httponly=True, samesite="Lax")


def drop(response: Response, name: str) -> None:
    """Have the browser forget a cookie."""
    response.delete_cookie(name, path="/", secure=is_https(), httponly=True, samesite="Lax")


def is_https() -> bool:
    """Tell whether people reach the gateway by TLS only."""
    return process().settings.public_url.startswith("https://")
