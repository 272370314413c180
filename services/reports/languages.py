r"""The languages that reports are written in: their catalogues, and how each writes numbers and moments.

Only the `.po` files are kept; they are compiled in memory when the process starts. After changing a text:

    pybabel extract -F services/reports/locale/babel.cfg --omit-header --sort-by-file --add-location=file \
        -o reports.pot services/reports
    pybabel update -i reports.pot -d services/reports/locale -D reports --omit-header --no-fuzzy-matching
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from gettext import GNUTranslations
from importlib.resources import files
from io import BytesIO

from babel import Locale
from babel.dates import format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

from mailrecall import durations

DOMAIN = "reports"

_LOCALES = {"en": "en", "zh": "zh_Hans_CN"}


@dataclass(frozen=True, slots=True)
class Language:
    """One language, as `account.language` names it."""

    code: str
    locale: Locale
    translations: GNUTranslations

    @property
    def tag(self) -> str:
        """The language's tag for HTML and mail headers (RFC 5646)."""
        return "zh-Hans" if self.code == "zh" else self.code

    @property
    def colon(self) -> str:
        """What stands between a name and its value in running text."""
        return "：" if self.code == "zh" else ": "

    def gettext(self, message: str) -> str:
        """Translate one message of the catalogue."""
        return self.translations.gettext(message)

    def ngettext(self, singular: str, plural: str, n: int, /, **values: str) -> str:
        """Translate a message that depends on a number, and put the values and the written `%(number)s` into it."""
        return self.translations.ngettext(singular, plural, n) % {"number": self.number(n), **values}

    def number(self, value: int) -> str:
        """Write a whole number: 12,345."""
        return str(format_decimal(value, locale=self.locale))

    def percent(self, part: int, whole: int) -> str:
        """Write a share of something with at most one decimal. What is not nothing, or not all, never rounds to it."""
        share = part / whole if whole else 0.0
        if 0 < part < whole:
            share = min(max(share, 0.001), 0.999)
        return str(format_percent(share, format="#,##0.#%", locale=self.locale))

    def duration(self, duration: timedelta) -> str:
        """Write how long something takes: 4.2 sec."""
        return durations.written(duration, self.locale)

    def moment(self, moment: datetime) -> str:
        """Write date and time, in UTC and saying so: an account has no time zone of its own."""
        return str(format_datetime(moment, format="long", tzinfo=UTC, locale=self.locale))


def _load(code: str) -> Language:
    catalogue = files(__package__) / "locale" / code / "LC_MESSAGES" / f"{DOMAIN}.po"
    with catalogue.open("rb") as text:
        parsed = read_po(text, locale=code, domain=DOMAIN, abort_invalid=True)
    compiled = BytesIO()
    write_mo(compiled, parsed)
    compiled.seek(0)
    return Language(code, Locale.parse(_LOCALES[code]), GNUTranslations(compiled))


LANGUAGES: Mapping[str, Language] = {code: _load(code) for code in _LOCALES}
