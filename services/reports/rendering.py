"""A report in words: subject, text and HTML in the reader's language, and what is too long for them as CSV."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.domain.pace import Pace
from mailrecall.domain.recalls import Result
from mailrecall.recalls.outcomes import Unknown
from services.reports import spreadsheets
from services.reports.languages import Language
from services.reports.report import Group, Reader, Report
from services.reports.wording import HEADLINES, OUTCOMES, REASONS, SUBJECTS, UNKNOWNS

MEMBERS_INLINE = 50
"""R18: failed members past this number go into an attachment."""
ADDRESSEES_INLINE = 200
"""So do directly addressed recipients past this one: the letter has to stay one that mail programs open."""
_SUBJECT_LENGTH = 120

_COLOURS: Mapping[Outcome, str] = {
    Outcome.RECALLED: "#2b9a66",
    Outcome.ALREADY_READ: "#dd8420",
    Outcome.ATTACHMENT_DOWNLOADED: "#c2571a",
    Outcome.FORWARDED: "#8561c5",
    Outcome.FETCHED_BY_POP3: "#2a8fbd",
    Outcome.EXTERNAL: "#8792a2",
    Outcome.GONE: "#5d6b7e",
    Outcome.VETOED: "#b8467f",
    Outcome.UNREACHABLE: "#cf4545",
}
_RESULT_COLOURS: Mapping[Result, str] = {
    Result.SUCCEEDED: _COLOURS[Outcome.RECALLED],
    Result.PARTIAL: _COLOURS[Outcome.ALREADY_READ],
    Result.FAILED: _COLOURS[Outcome.UNREACHABLE],
}
_UNKNOWN_COLOUR = _COLOURS[Outcome.EXTERNAL]

# What a header or a letter must not contain: controls, and the marks that turn the direction of text around (they can
# make an address or a subject read as another one).
_UNSAFE = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
_UNSAFE_LINES: dict[int, int | None] = {**_UNSAFE, ord("\t"): ord(" "), ord("\n"): ord("\n")}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A list that goes along with the letter."""

    filename: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """A report in words."""

    subject: str
    text: str
    html: str
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """One outcome's part of the bar."""

    outcome: Outcome
    colour: str
    width: int
    """In percent; never 0."""


HIGHEST_COLUMN = 72
_LOWEST_COLUMN = 2


@dataclass(frozen=True, slots=True)
class Column:
    """What was done in one stretch of the recall's time."""

    count: int
    height: int
    """In pixels; 0 only where nothing was done."""


def render(report: Report, language: Language) -> Letter:
    """Write a report in a language."""
    attachments = []
    if len(report.addressees) > ADDRESSEES_INLINE:
        attachments.append(Attachment("recall-addressees.csv", spreadsheets.addressees(report.addressees, language)))
    if len(report.failed) > MEMBERS_INLINE:
        attachments.append(Attachment("recall-failed.csv", spreadsheets.failed_members(report.failed, language)))
    subject = one_line(report.subject) or language.gettext("(no subject)")
    values = {
        "report": report,
        "language": language,
        "headline": language.gettext(HEADLINES[report.result]),
        "summary": _summary(report.tally, language),
        "subject": subject,
        "reason": lines(report.reason),
        "author": one_line(report.author),
        "total": report.tally.total,
        "result_colour": _RESULT_COLOURS[report.result],
        "segments": segments(report.tally),
        "pace": report.pace,
        "pace_words": _pace_words(report.pace, language) if report.pace else "",
        "columns": columns(report.pace) if report.pace else (),
        "highest_column": HIGHEST_COLUMN,
        "addressees_inline": report.addressees if len(report.addressees) <= ADDRESSEES_INLINE else (),
        "members_inline": report.failed if len(report.failed) <= MEMBERS_INLINE else (),
        "members_apart": _members_apart(len(report.failed), language),
        "members_unlisted": _members_unlisted(report.unlisted, language),
        "administrator": report.reader is Reader.ADMINISTRATOR,
        "told_as_author": report.reader is Reader.AUTHOR,
        "unreachable": report.tally[Outcome.UNREACHABLE],
    }
    environment = _environment(language)
    return Letter(
        subject=_shorten(language.gettext(SUBJECTS[report.result]) % {"subject": subject}),
        text=environment.get_template("report.txt").render(values),
        html=environment.get_template("report.html").render(values),
        attachments=tuple(attachments),
    )


def _summary(tally: Tally, language: Language) -> str:
    return language.ngettext(
        "Recalled from %(recalled)s of %(number)s recipient.",
        "Recalled from %(recalled)s of %(number)s recipients.",
        tally.total,
        recalled=language.number(tally[Outcome.RECALLED]),
    )


def _pace_words(pace: Pace, language: Language) -> str:
    return language.gettext("All done in %(took)s; at most %(most)s within %(stretch)s.") % {
        "took": language.duration(pace.took),
        "most": language.number(pace.most),
        "stretch": language.duration(pace.stretch),
    }


def _members_apart(count: int, language: Language) -> str:
    return language.ngettext(
        "%(number)s member is listed with the reason in the attached recall-failed.csv.",
        "%(number)s members are listed with their reasons in the attached recall-failed.csv.",
        count,
    )


def _members_unlisted(count: int, language: Language) -> str:
    return language.ngettext(
        "%(number)s more is counted above but could not be listed.",
        "%(number)s more are counted above but could not be listed.",
        count,
    )


def segments(tally: Tally) -> list[Segment]:
    """Divide the bar: whole percents, none of them 0, together 100; the largest part makes up for the rounding."""
    if not tally.total:
        return []
    widths = {outcome: max(1, round(100 * n / tally.total)) for outcome, n in tally.counts.items()}
    largest = max(widths, key=lambda outcome: widths[outcome])
    widths[largest] += 100 - sum(widths.values())
    return [Segment(outcome, _COLOURS[outcome], width) for outcome, width in widths.items()]


def columns(pace: Pace) -> list[Column]:
    """Draw a column for each stretch; the busiest is the highest, and what is not nothing is seen."""
    heights = [max(_LOWEST_COLUMN, round(HIGHEST_COLUMN * n / pace.most)) if n else 0 for n in pace.done]
    return [Column(count, height) for count, height in zip(pace.done, heights, strict=True)]


def one_line(text: str) -> str:
    """Make text from a message harmless in a header or a line."""
    return " ".join(text.replace("\n", " ").replace("\t", " ").translate(_UNSAFE).split())


def lines(text: str) -> str:
    """Make text that somebody typed harmless in a letter; its line breaks stay."""
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    return unified.translate(_UNSAFE_LINES).strip()


def _shorten(text: str) -> str:
    return text if len(text) <= _SUBJECT_LENGTH else text[: _SUBJECT_LENGTH - 1].rstrip() + "…"


@cache
def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=PackageLoader("services.reports"),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.i18n"],
    )
    # jinja2's stubs do not know the methods that the extension adds
    install: Any = environment.install_gettext_translations  # type: ignore[attr-defined]
    install(language.translations, newstyle=True)

    def label(outcome: Outcome | Unknown) -> str:
        return language.gettext(UNKNOWNS[outcome] if isinstance(outcome, Unknown) else OUTCOMES[outcome])

    def counts(tally: Tally) -> str:
        return " · ".join(f"{label(outcome)} {language.number(n)}" for outcome, n in tally.counts.items())

    def group(group: Group) -> str:
        name = one_line(group.name)
        return f"{name} <{group.address}>" if name else group.address

    environment.globals["colon"] = language.colon
    environment.filters.update(
        number=language.number,
        moment=language.moment,
        duration=language.duration,
        label=label,
        why=lambda outcome: language.gettext(REASONS[outcome]),
        colour=lambda outcome: _COLOURS.get(outcome, _UNKNOWN_COLOUR),
        counts=counts,
        group=group,
    )
    return environment
