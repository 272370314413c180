"""The organisation's switches, as a form."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from flask import Blueprint, redirect, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock
from mailrecall.domain.policy import Policy
from services.gateway import policies
from services.gateway.current import account, process
from services.gateway.pages import languages, sessions
from services.gateway.pages.console.switches import CHOICES, NAMES, NUMBERS, SWITCHES
from services.gateway.pages.rendering import page
from services.gateway.problems import Code, Problem

blueprint = Blueprint("policy", __name__, url_prefix="/policy")


_SHOWN: Final = "shown-"
"""Begins the names of fields that tell what the form showed: what differs from it was changed by whoever sends it."""


@blueprint.get("")
def form() -> AnyResponse:
    """Show how the switches are."""
    now = _typed(policies.show(process(), account()))
    return _page(now, now, {})


@blueprint.post("")
def save() -> AnyResponse:
    """Set what was changed; nothing, where something is wrong or somebody else was faster."""
    typed = {name: request.form.get(name, "") for name in (*NUMBERS, *CHOICES, *SWITCHES)}
    now = _typed(policies.show(process(), account()))
    # what nobody touched stays to the second, however the form writes it, and as somebody else has set it meanwhile
    shown = {name: request.form.get(f"{_SHOWN}{name}", value) for name, value in now.items()}
    touched = {name: value for name, value in typed.items() if value not in (shown[name], now[name])}
    switches, wrong = dict[str, object](), dict[str, str]()
    for name, value in touched.items():
        read = _read(name, value)
        if read is None:
            wrong[name] = _told(name)
        else:
            switches[name] = read
    overtaken = {name: _overtaken() for name in touched if now[name] != shown[name]}
    if wrong or overtaken:
        status = HTTPStatus.UNPROCESSABLE_ENTITY if wrong else HTTPStatus.CONFLICT
        return _page(now, {**now, **touched}, {**overtaken, **wrong}, status)
    if switches:
        try:
            policies.change(process(), account(), switches, now=clock.now())
        except Problem as problem:
            if problem.code is not Code.INVALID:
                raise
            wrong = {name: _told(name) for name in switches}
            return _page(now, {**now, **touched}, wrong, HTTPStatus.UNPROCESSABLE_ENTITY)
    sessions.notify(_("The policy is saved. It counts for what is asked for from now on."))
    return redirect(url_for("pages.console.policy.form"), 303)


def _typed(policy: Policy) -> dict[str, str]:
    """Return the switches as the form would send them if nobody changed anything."""
    stored = policy.to_mapping()
    numbers = {name: number.shown(getattr(policy, name)) for name, number in NUMBERS.items()}
    choices = {name: str(stored[name]) for name in CHOICES}
    return {**numbers, **choices, **{name: "true" if stored[name] else "" for name in SWITCHES}}


def _read(name: str, value: str) -> object | None:
    if name in NUMBERS:
        return NUMBERS[name].read(value)
    if name in CHOICES:
        return value if value in CHOICES[name] else None
    return value == "true" if value in ("true", "") else None


def _told(name: str) -> str:
    if name not in NUMBERS:
        return str(_("Choose one of what the form offers."))
    number = NUMBERS[name]
    least, most = -(-number.least // number.unit), number.most // number.unit
    return str(_("Give a number from %(least)s to %(most)s.", least=least, most=languages.number(most)))


def _overtaken() -> str:
    return str(_("Somebody else has changed this in the meantime. Save again if yours is to hold."))


def _page(
    shown: Mapping[str, str], typed: Mapping[str, str], wrong: Mapping[str, str], status: int = HTTPStatus.OK
) -> AnyResponse:
    kept = {f"{_SHOWN}{name}": value for name, value in shown.items()}
    return page("console/policy.html", status, kept=kept, typed=typed, wrong=wrong, switches=NAMES, choices=CHOICES)
