"""The languages and the time of the pages: as somebody has chosen, else as the browser says.

Only the `.po` files are kept; they are compiled in memory when the process starts. After a text has changed,
`make translations` brings them up to date.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO
from typing import Final, cast
from urllib.parse import unquote
from zoneinfo import ZoneInfo, available_timezones

import flask_babel
from babel import Locale, dates, numbers
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from flask import Flask, request
from flask_babel import gettext as _

from mailrecall import durations
from mailrecall.directory.lookup import Language
from services.gateway.pages import sessions

LANGUAGES: Final[Mapping[Language, str]] = {"zh": "简体中文", "en": "English"}
"""Each language in its own words."""

LANGUAGE_COOKIE = "mailrecall_language"
ZONE_COOKIE = "mailrecall_zone"
"""Set by a script of the pages: the browser's own time zone."""

_LOCALES: Mapping[Language, str] = {"en": "en", "zh": "zh_Hans_CN"}
_ZONES = frozenset(available_timezones())
_ODD_ZONES = ("Etc/", "posix/", "right/", "SystemV/")
_KIB = 1024


class Domain(flask_babel.Domain):  # type: ignore[misc]
    """The catalogues of all pages as one."""

    @cached_property
    def _catalogues(self) -> Mapping[str, Translations]:
        return {locale: _translations(language, locale) for language, locale in _LOCALES.items()}

    def get_translations(self) -> Translations:
        """Return the translations of the request's language."""
        return self._catalogues[_LOCALES[language()]]


class Babel(flask_babel.Babel):  # type: ignore[misc]
    """Flask-Babel on catalogues in memory."""

    domain_instance = Domain(domain="pages")


def register(app: Flask) -> None:
    """Have the application speak these languages."""
    Babel(app, locale_selector=lambda: _LOCALES[language()], timezone_selector=lambda: str(zone()))
    app.jinja_env.globals["language_tag"] = tag
    app.jinja_env.filters.update(
        number=number,
        percent=percent,
        moment=moment,
        short_moment=short_moment,
        zone_of=zone_of,
        size=size,
        duration=duration,
    )


def language() -> Language:
    """Return the language of the page now made."""
    session = sessions.current()
    if session is not None and session.language is not None:
        return session.language
    if (chosen := request.cookies.get(LANGUAGE_COOKIE)) in LANGUAGES:
        return cast("Language", chosen)
    if found := request.accept_languages.best_match([*LANGUAGES, "zh-CN", "zh-Hans", "zh-TW", "zh-Hant", "en-US"]):
        return "zh" if found.startswith("zh") else "en"
    return session.account.language if session else "en"


def zone() -> ZoneInfo:
    """Return the time zone of the page now made."""
    session = sessions.current()
    chosen = session.time_zone if session else None
    for name in (chosen, browser_zone()):
        if is_zone(name):
            return ZoneInfo(str(name))
    return ZoneInfo("UTC")


def browser_zone() -> str:
    """Return the name of the browser's time zone; empty where it did not say."""
    return unquote(request.cookies.get(ZONE_COOKIE, ""))


def is_zone(name: str | None) -> bool:
    """Tell whether there is a time zone of that name."""
    return name in _ZONES


def zones() -> list[str]:
    """Return the names of all time zones that people live in."""
    return sorted(
        name for name in _ZONES if "/" in name and not name.startswith(("Etc/", "posix/", "right/", "SystemV/"))
    )


def tag() -> str:
    """Return the language's tag for HTML (RFC 5646)."""
    return "zh-Hans" if language() == "zh" else "en"


def locale() -> Locale:
    """Return how numbers and dates are written."""
    return Locale.parse(_LOCALES[language()])


def number(value: int) -> str:
    """Write a whole number: 12,345."""
    return str(numbers.format_decimal(value, locale=locale()))


def decimal(value: Decimal) -> str:
    """Write a number with at most four decimals."""
    return str(numbers.format_decimal(value, format="#,##0.####", locale=locale()))


def percent(part: int, whole: int) -> str:
    """Write a share with at most one decimal; what is not nothing, or not all, never rounds to it."""
    share = part / whole if whole else 0.0
    if 0 < part < whole:
        share = min(max(share, 0.001), 0.999)
    return str(numbers.format_percent(share, format="#,##0.#%", locale=locale()))


def moment(value: datetime) -> str:
    """Write date and time."""
    local, here = value.astimezone(zone()), locale()
    date = dates.format_skeleton("yMMMd", local, tzinfo=zone(), locale=here)
    time = dates.format_time(local, "short", tzinfo=zone(), locale=here)
    return f"{date} {time}" if language() == "zh" else f"{date}, {time}"


def zone_of(value: datetime) -> str:
    """Write how far the reader's time is from UTC at a moment: UTC+08:00."""
    offset = value.astimezone(zone()).strftime("%z")
    return f"UTC{offset[:3]}:{offset[3:5]}"


def short_moment(value: datetime, now: datetime) -> str:
    """Write a moment as a list shows it: the time today, the day this year, the date before."""
    local, today = value.astimezone(zone()), now.astimezone(zone())
    if local.date() == today.date():
        return str(dates.format_time(local, "short", tzinfo=zone(), locale=locale()))
    skeleton = "MMMd" if local.year == today.year else "yMd"
    return str(dates.format_skeleton(skeleton, local, tzinfo=zone(), locale=locale()))


def duration(value: timedelta) -> str:
    """Write how long something takes: 4.2 sec."""
    return durations.written(value, locale())


def size(octets: int) -> str:
    """Write a size as people read it: 17 KB."""
    if octets < _KIB:
        return str(_("%(number)s bytes", number=number(octets)))
    value, unit = octets / _KIB, "KB"
    if value >= _KIB:
        value, unit = value / _KIB, "MB"
    return f"{numbers.format_decimal(round(value, 1), format='#,##0.#', locale=locale())} {unit}"


def _translations(language: Language, locale: str) -> Translations:
    merged = Translations()
    for catalogue in _catalogues(files(__package__), language):
        with catalogue.open("rb") as text:
            parsed = read_po(text, locale=locale, abort_invalid=True)
        compiled = BytesIO()
        write_mo(compiled, parsed)
        compiled.seek(0)
        loaded = Translations(compiled)
        merged.merge(loaded)
        # merge() leaves the rule for plurals behind
        merged.plural = loaded.plural
    return merged


def _catalogues(folder: Traversable, language: Language) -> Iterator[Traversable]:
    """Find the catalogues of the pages and of the packages in them."""
    found = folder / "locale" / language / "LC_MESSAGES"
    if found.is_dir():
        yield from sorted((f for f in found.iterdir() if f.name.endswith(".po")), key=lambda f: f.name)
    for below in sorted(folder.iterdir(), key=lambda f: f.name):
        if below.is_dir() and (below / "locale").is_dir():
            yield from _catalogues(below, language)
