"""The fixed words of a report, in English as the catalogues' keys; `N_` marks them for extraction."""

from collections.abc import Mapping

from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Result
from mailrecall.recalls.outcomes import Unknown


def N_(message: str) -> str:  # noqa: N802 - the name by which gettext's tools find messages
    """Mark a message for translation and return it as it is."""
    return message


OUTCOMES: Mapping[Outcome, str] = {
    Outcome.RECALLED: N_("Recalled"),
    Outcome.ALREADY_READ: N_("Already read"),
    Outcome.ATTACHMENT_DOWNLOADED: N_("Attachment downloaded"),
    Outcome.FORWARDED: N_("Forwarded"),
    Outcome.FETCHED_BY_POP3: N_("Fetched by POP3"),
    Outcome.EXTERNAL: N_("External"),
    Outcome.GONE: N_("Gone"),
    Outcome.VETOED: N_("Held back"),
    Outcome.UNREACHABLE: N_("Unreachable"),
}

REASONS: Mapping[Outcome, str] = {
    Outcome.RECALLED: N_("The copy was taken out of the mailbox."),
    Outcome.ALREADY_READ: N_("The recipient had opened the message."),
    Outcome.ATTACHMENT_DOWNLOADED: N_("The recipient had downloaded an attachment."),
    Outcome.FORWARDED: N_("The recipient, or a rule of theirs, had forwarded the message."),
    Outcome.FETCHED_BY_POP3: N_("A mail program had fetched the message."),
    Outcome.EXTERNAL: N_("A recall does not reach mailboxes outside."),
    Outcome.GONE: N_("The recipient had deleted the message, or the mailbox was closed."),
    Outcome.VETOED: N_("Another copy had to stay, and this recall was all or nothing."),
    Outcome.UNREACHABLE: N_("The mailbox did not answer in time."),
}

UNKNOWNS: Mapping[Unknown, str] = {
    Unknown.NEVER_DELIVERED: N_("Never delivered"),
    Unknown.NOT_ANSWERED: N_("Not known yet"),
}

HEADLINES: Mapping[Result, str] = {
    Result.SUCCEEDED: N_("The message was recalled"),
    Result.PARTIAL: N_("The message was recalled from some mailboxes"),
    Result.FAILED: N_("The message could not be recalled"),
}

SUBJECTS: Mapping[Result, str] = {
    Result.SUCCEEDED: N_("Recalled: %(subject)s"),
    Result.PARTIAL: N_("Recalled from some: %(subject)s"),
    Result.FAILED: N_("Not recalled: %(subject)s"),
}
"""The report's own subject, around that of the recalled message."""
