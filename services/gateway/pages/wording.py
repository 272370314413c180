"""What the pages call the product's fixed things, and what they say of problems."""

from collections.abc import Mapping, Sequence
from email.utils import getaddresses
from typing import Any, Final

from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as lazy

from mailrecall.domain.copies import Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Result, State
from services.gateway.pages import languages
from services.gateway.problems import Code, FieldError, Problem

FOLDERS: Final[Mapping[Folder, LazyString]] = {
    Folder.INBOX: lazy("Inbox"),
    Folder.DRAFTS: lazy("Drafts"),
    Folder.SENT: lazy("Sent"),
    Folder.ARCHIVE: lazy("Archive"),
    Folder.JUNK: lazy("Junk"),
    Folder.TRASH: lazy("Trash"),
}
"""In the order in which the pages list them."""

OUTCOMES: Final[Mapping[Outcome, LazyString]] = {
    Outcome.RECALLED: lazy("Recalled"),
    Outcome.ALREADY_READ: lazy("Already read"),
    Outcome.ATTACHMENT_DOWNLOADED: lazy("Attachment downloaded"),
    Outcome.FORWARDED: lazy("Forwarded"),
    Outcome.FETCHED_BY_POP3: lazy("Fetched by POP3"),
    Outcome.EXTERNAL: lazy("External"),
    Outcome.GONE: lazy("Gone"),
    Outcome.VETOED: lazy("Held back"),
    Outcome.UNREACHABLE: lazy("Unreachable"),
}

EXPLAINED: Final[Mapping[Outcome, LazyString]] = {
    Outcome.ALREADY_READ: lazy("The recipient opened the message, here or in a mail program."),
    Outcome.ATTACHMENT_DOWNLOADED: lazy("The recipient downloaded an attachment."),
    Outcome.FORWARDED: lazy("The recipient, or a rule of theirs, forwarded the message."),
    Outcome.FETCHED_BY_POP3: lazy("A mail program took the message away over POP3."),
    Outcome.EXTERNAL: lazy("The mailbox is outside; a recall does not reach it."),
    Outcome.GONE: lazy("The recipient deleted the message, or the mailbox was closed."),
    Outcome.VETOED: lazy("Another copy had to stay, and your organisation recalls from a group all or nothing."),
    Outcome.UNREACHABLE: lazy("The mailbox did not answer in time; asking again tries it once more."),
}
"""Why a copy stays."""

RESULTS: Final[Mapping[Result, LazyString]] = {
    Result.SUCCEEDED: lazy("Recalled"),
    Result.PARTIAL: lazy("Partly recalled"),
    Result.FAILED: lazy("Not recalled"),
}

HEADLINES: Final[Mapping[Result, LazyString]] = {
    Result.SUCCEEDED: lazy("The message was recalled"),
    Result.PARTIAL: lazy("The message was recalled from some mailboxes"),
    Result.FAILED: lazy("The message could not be recalled"),
}

STATES: Final[Mapping[State, LazyString]] = {
    State.ACCEPTED: lazy("Accepted"),
    State.RUNNING: lazy("Under way"),
    State.SETTLED: lazy("Done"),
}

_MOST_NAMES = 6
_MOST_SENTENCES = 3
_LONGEST_HEADER = 4_000

_PROBLEMS: Final[Mapping[Code, LazyString]] = {
    Code.NOT_SENDER: lazy("Somebody else sent this message; only its sender or an administrator can recall it."),
    Code.NOT_IN_ORGANISATION: lazy("The message came from outside this organisation; it cannot be recalled."),
    Code.NOT_SENT_FROM_WEBMAIL: lazy("The message was sent by a mail program; only those sent here can be recalled."),
    Code.NO_LOCAL_RECIPIENTS: lazy("All recipients of this message are outside; there is no copy to recall."),
    Code.APPROVAL_REQUIRED: lazy("So large a recall has to be approved by a second administrator."),
    Code.WINDOW_EXPIRED: lazy("The time in which this message could be recalled is over."),
    Code.RATE_LIMITED: lazy("That was asked for too often; wait a little and try again."),
    Code.NOT_ALLOWED: lazy("That is not allowed here, or this page is out of date. Load it anew and try again."),
    Code.BEING_SENT: lazy("The draft was sent; it can be neither changed nor sent again."),
    Code.ALREADY_SENT: lazy("The message is on its way. Recall it to get it back."),
    Code.VERSION_CONFLICT: lazy("This draft was changed somewhere else, in another window perhaps. Load it anew."),
    Code.TOO_LARGE: lazy("The message is larger than this server takes. Attachments grow by a third in mail."),
    Code.NOT_SETTLED: lazy("The recall is still going on."),
    Code.UNAVAILABLE: lazy("A database does not answer right now. Try again in a few seconds."),
}

_FIELDS: Final[Mapping[str, LazyString]] = {
    "unknown_recipient": lazy("Nobody has the address %(address)s."),
    "mailbox_closed": lazy("The mailbox %(address)s is closed."),
    "external_refused": lazy("%(address)s is outside, and this server sends no mail to the outside."),
}


def told(problem: Problem) -> str | None:
    """Return what a page says of a problem; None where its status says enough."""
    words = _PROBLEMS.get(problem.code)
    return str(words) if words else None


def unsubjected(subject: str) -> str:
    """Return a message's subject, or that it has none."""
    return subject.strip() or str(_("(no subject)"))


def label(value: Outcome | Result | State) -> str:
    """Return what the pages call an outcome, a result or a state."""
    words: Mapping[Any, LazyString] = {**OUTCOMES, **RESULTS, **STATES}
    return str(words[value])


def headline(result: Result) -> str:
    """Return what a recall came to, as a sentence."""
    return str(HEADLINES[result])


def outcome_class(outcome: Outcome) -> str:
    """Return the class that gives an outcome its colour."""
    return f"outcome-{outcome.slug.replace('_', '-')}"


def names(header: str) -> str:
    """Return the people that a header field names, by their names where it has them."""
    shown = [name or address for name, address in _people(header)]
    if len(shown) > _MOST_NAMES:
        more = _("%(number)s more", number=languages.number(len(shown) - _MOST_NAMES))
        return ", ".join([*shown[:_MOST_NAMES], more])
    return ", ".join(shown)


def addresses(header: str) -> str:
    """Return the addresses of a header field, where it has names as well."""
    return ", ".join(f"<{address}>" for name, address in _people(header)[:_MOST_NAMES] if name and address)


def _people(header: str) -> list[tuple[str, str]]:
    try:
        found = getaddresses([header[:_LONGEST_HEADER]])
    except (ValueError, IndexError, TypeError):
        found = []
    named = [(name.strip(), address.strip()) for name, address in found if name.strip() or address.strip()]
    return named or ([(header.strip()[:_LONGEST_HEADER], "")] if header.strip() else [])


def told_of_recipients(problem: Problem, typed: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return what a page says of the fields `to`, `cc` and `bcc`, each of which holds what was typed."""
    said: dict[str, list[str]] = {}
    for error in problem.errors:
        name, _slash, place = error.pointer.removeprefix("#/").partition("/")
        if name in typed:
            address = typed[name][int(place)] if place.isdecimal() and int(place) < len(typed[name]) else None
            said.setdefault(name, []).append(_told_of_recipient(error, address, anybody=any(typed.values())))
    return {name: " ".join([*dict.fromkeys(sentences)][:_MOST_SENTENCES]) for name, sentences in said.items()}


def _told_of_recipient(error: FieldError, address: str | None, *, anybody: bool) -> str:
    if address is None:
        many, none = _("That is too many recipients; write to a group."), _("Name at least one recipient.")
        return str(many if anybody else none)
    words = _FIELDS.get(error.code or "", lazy("“%(address)s” is no mail address."))
    return str(words) % {"address": address}
