"""The organisation's switches in words: what the form calls them and their values, and so does the audit trail."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as lazy

from mailrecall.domain.policy import (
    DAY,
    HOUR,
    LONGEST_RETENTION,
    LONGEST_WINDOW,
    MOST_COPIES,
    MOST_RECALLS_PER_HOUR,
    GroupMode,
    Scope,
)
from services.gateway.pages import languages

_WRITTEN: Final = re.compile(r"\d{1,15}(\.\d{0,15})?|\.\d{1,15}")
"""Without an exponent: to write out what it stands for can take minutes."""
_GROUPED: Final = re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Number:
    """A switch that is a number, as the form shows it: in a unit that people count in."""

    unit: int
    least: int
    most: int

    def shown(self, value: int) -> str:
        """Write a stored value in the form's unit."""
        text = f"{(Decimal(value) / self.unit).quantize(Decimal('0.0001')):f}"
        return text.rstrip("0").rstrip(".") if "." in text else text

    def read(self, text: str) -> int | None:
        """Read what was typed; None where it is no number, or out of range."""
        written = text.strip()
        if _GROUPED.fullmatch(written):
            written = written.replace(",", "")
        elif self.unit > 1:
            # many people write a comma before the decimals
            written = written.replace(",", ".")
        elif not written.isdecimal():
            # a point may be one between thousands, and then ten thousand would become ten
            return None
        if not _WRITTEN.fullmatch(written):
            return None
        exact = Decimal(written) * self.unit
        value = int(exact.to_integral_value())
        fits = self.least <= value <= self.most and (self.unit > 1 or exact == value)
        return value if fits else None


NUMBERS: Final[Mapping[str, Number]] = {
    "window_user": Number(HOUR, 1, LONGEST_WINDOW),
    "window_admin": Number(HOUR, 1, LONGEST_WINDOW),
    "retention": Number(DAY, 0, LONGEST_RETENTION),
    "approval_above": Number(1, 0, MOST_COPIES),
    "recalls_per_hour": Number(1, 1, MOST_RECALLS_PER_HOUR),
}
CHOICES: Final[Mapping[str, Mapping[str, LazyString]]] = {
    "scope": {
        Scope.DOMAIN: lazy("The sender's domain"),
        Scope.ORGANISATION: lazy("The organisation"),
        Scope.PLATFORM: lazy("The whole platform"),
    },
    "group_mode": {
        GroupMode.EACH: lazy("Take every copy that qualifies"),
        GroupMode.ALL_OR_NOTHING: lazy("All or nothing"),
    },
}
SWITCHES: Final = ("recall_any_channel_admin", "tombstone", "notify_author", "admin_sees_failed_accounts")

NAMES: Final[Mapping[str, LazyString]] = {
    "scope": lazy("Reach of a recall"),
    "group_mode": lazy("Groups"),
    "window_user": lazy("Window for senders, in hours"),
    "window_admin": lazy("Window for administrators, in hours"),
    "recalls_per_hour": lazy("Recalls in an hour"),
    "retention": lazy("Retention, in days"),
    "approval_above": lazy("Approval above so many copies"),
    "admin_sees_failed_accounts": lazy("Show which accounts kept a copy"),
    "recall_any_channel_admin": lazy("Let administrators recall mail from mail programs"),
    "notify_author": lazy("Tell the author of an administrator's recall"),
    "tombstone": lazy("Leave a notice where a copy was taken"),
}


def change(name: str, before: object, after: object) -> str:
    """Say from what to what a switch was set."""
    return str(_("from “%(before)s” to “%(after)s”", before=_value(name, before), after=_value(name, after)))


def _value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(_("yes") if value else _("no"))
    if name in NUMBERS and isinstance(value, int):
        return languages.decimal(Decimal(NUMBERS[name].shown(value)))
    return str(CHOICES.get(name, {}).get(str(value), value))
