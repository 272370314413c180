"""Lists as CSV that spreadsheets open as they are: UTF-8 with a byte order mark, no cell that could be a formula."""

import csv
from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from io import StringIO

from mailrecall.domain.outcomes import Outcome
from mailrecall.recalls.outcomes import Addressee, Unknown
from services.reports.languages import Language
from services.reports.report import Member
from services.reports.wording import OUTCOMES, REASONS, UNKNOWNS

_FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""What makes a spreadsheet take a cell for a formula or a command (OWASP, CSV injection), in both widths."""


def addressees(rows: Iterable[Addressee], language: Language) -> bytes:
    """Write the directly addressed recipients with what became of each."""
    header = [language.gettext("Recipient"), language.gettext("Outcome"), language.gettext("Explanation")]
    return _write(header, ([row.address, *_words(row.outcome, language)] for row in rows))


def failed_members(rows: Iterable[Member], language: Language) -> bytes:
    """Write the members of groups whose copies stayed, with the reason."""
    header = [
        language.gettext("Recipient"),
        language.gettext("Group"),
        language.gettext("Outcome"),
        language.gettext("Explanation"),
    ]
    return _write(header, ([row.address, row.group, *_words(row.outcome, language)] for row in rows))


def harmless(cell: str) -> str:
    """Return the cell so that a spreadsheet shows it as text: an apostrophe before what would start a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell


def _words(outcome: Outcome | Unknown, language: Language) -> list[str]:
    if isinstance(outcome, Unknown):
        return [language.gettext(UNKNOWNS[outcome]), ""]
    return [language.gettext(OUTCOMES[outcome]), language.gettext(REASONS[outcome])]


def _write(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = StringIO(newline="")
    # every cell in quotes, so that no separator another locale uses can cut one in two
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return BOM_UTF8 + text.getvalue().encode()
