"""The lists that are attached to a report, as CSV in the reader's language."""

from collections.abc import Iterable

from mailrecall import spreadsheets
from mailrecall.domain.outcomes import Outcome
from mailrecall.recalls.outcomes import Addressee, Unknown
from services.reports.languages import Language
from services.reports.report import Member
from services.reports.wording import OUTCOMES, REASONS, UNKNOWNS


def addressees(rows: Iterable[Addressee], language: Language) -> bytes:
    """Write the directly addressed recipients with what became of each."""
    header = [language.gettext("Recipient"), language.gettext("Outcome"), language.gettext("Explanation")]
    return spreadsheets.table(header, ([row.address, *_words(row.outcome, language)] for row in rows))


def failed_members(rows: Iterable[Member], language: Language) -> bytes:
    """Write the members of groups whose copies stayed, with the reason."""
    header = [
        language.gettext("Recipient"),
        language.gettext("Group"),
        language.gettext("Outcome"),
        language.gettext("Explanation"),
    ]
    return spreadsheets.table(header, ([row.address, row.group, *_words(row.outcome, language)] for row in rows))


def _words(outcome: Outcome | Unknown, language: Language) -> list[str]:
    if isinstance(outcome, Unknown):
        return [language.gettext(UNKNOWNS[outcome]), ""]
    return [language.gettext(OUTCOMES[outcome]), language.gettext(REASONS[outcome])]
