"""The life of a recall: who may ask (R1, R3, R6, R10, R11, R24), its states, and what it came to (R13)."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.domain.policy import Policy

LONGEST_REASON = 500
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and a symbol that show nothing: the fillers of Hangul, and Braille without a dot."""


class Channel(StrEnum):
    """How a message came in."""

    WEBMAIL = "webmail"
    SUBMISSION = "submission"
    LMTP = "lmtp"
    SYSTEM = "system"
    """Written by Mail Recall itself: reports, bounces, notices."""
    FORWARDED = "forwarded"
    """Passed on by an account's forwarding rule (R4): a message of its own, which nobody here sent."""


class Refusal(StrEnum):
    """R10: why a whole request is refused, a closed set."""

    NOT_FOUND = "not_found"
    NOT_SENDER = "not_sender"
    NOT_IN_ORGANISATION = "not_in_organisation"
    WINDOW_EXPIRED = "window_expired"
    NOT_SENT_FROM_WEBMAIL = "not_sent_from_webmail"
    NO_LOCAL_RECIPIENTS = "no_local_recipients"
    APPROVAL_REQUIRED = "approval_required"
    RATE_LIMITED = "rate_limited"


class State(StrEnum):
    """Where a recall stands. It only ever moves down this list, except that a repeat (R12) runs again."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    SETTLED = "settled"


class Result(StrEnum):
    """What a settled recall came to (R13)."""

    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"


class Verdict(StrEnum):
    """R13: how an all-or-nothing recall was decided, once for all shards."""

    COMMIT = "commit"
    """Every local copy goes."""
    RELEASE = "release"
    """Every copy stays."""


class ReasonError(ValueError):
    """R11: the reason is missing or too long."""


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks."""

    account_id: int
    organisation_id: int
    administrator: bool


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request is judged by: the message as the control database knows it.

    `sender_account_id` and `organisation_id` are None for mail from outside; `local_recipients` tells whether any
    recipient, group or account, has a mailbox here.
    """

    sender_account_id: int | None
    organisation_id: int | None
    channel: Channel
    accepted_at: datetime
    local_recipients: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal, with the moment the window closed where that is the reason (R3)."""

    refusal: Refusal
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request may go ahead; tells in which capacity the requester asks."""

    as_administrator: bool


def clean_reason(reason: str) -> str:
    """R11: return the reason, trimmed; 1 to 500 characters.

    Raises:
        ReasonError: it is empty or longer than that, shows nothing, or has characters that no text carries.
    """
    trimmed = reason.strip()
    if not any(_is_visible(character) for character in trimmed):
        raise ReasonError("Say why the message is recalled: 1 to 500 characters.")
    if len(trimmed) > LONGEST_REASON:
        raise ReasonError(f"The reason has {len(trimmed)} characters; {LONGEST_REASON} are allowed.")
    # JSON can spell NUL and half a surrogate pair; no database or mail can hold them
    if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in "\t\r\n" for c in trimmed):
        raise ReasonError("The reason has a control character; write it as plain text.")
    return trimmed


def _is_visible(character: str) -> bool:
    """Tell whether a character alone shows anything: letters, numbers, punctuation and symbols do, but for a few."""
    return unicodedata.category(character)[0] in "LNPS" and character not in _BLANK


def judge(
    requester: Requester, subject: Subject | None, policy: Policy, *, recent_recalls: int, now: datetime
) -> Accepted | Refused:
    """Judge a request once, when it is made (R3): both ends of the window belong to it.

    What lies outside the requester's organisation does not exist for them (R24). The sender of a message asks as a user
    even when they are an administrator too, unless only the administrator's wider rights let it through.
    """
    if subject is None or subject.organisation_id not in (requester.organisation_id, None):
        return Refused(Refusal.NOT_FOUND)
    if subject.organisation_id is None:
        return Refused(Refusal.NOT_IN_ORGANISATION if requester.administrator else Refusal.NOT_SENDER)
    if recent_recalls >= policy.recalls_per_hour:
        return Refused(Refusal.RATE_LIMITED)
    if subject.sender_account_id != requester.account_id:
        if not requester.administrator:
            return Refused(Refusal.NOT_SENDER)
        return _judge_message(subject, policy, administrator=True, now=now)
    verdict = _judge_message(subject, policy, administrator=False, now=now)
    if isinstance(verdict, Refused) and requester.administrator:
        return _judge_message(subject, policy, administrator=True, now=now)
    return verdict


def judge_repeat(
    requester: Requester, subject: Subject | None, *, requested_by: int, organisation_id: int
) -> Accepted | Refused:
    """R12: judge a request for a message that has a recall already.

    The author, whoever asked first and administrators may. No window is judged: that was done, once (R3).
    """
    if organisation_id != requester.organisation_id:
        return Refused(Refusal.NOT_FOUND)
    author = subject is not None and subject.sender_account_id == requester.account_id
    if not (author or requester.administrator or requested_by == requester.account_id):
        return Refused(Refusal.NOT_SENDER)
    return Accepted(as_administrator=not author)


def _judge_message(subject: Subject, policy: Policy, *, administrator: bool, now: datetime) -> Accepted | Refused:
    any_channel = administrator and policy.recall_any_channel_admin
    if subject.channel is not Channel.WEBMAIL and not any_channel:
        return Refused(Refusal.NOT_SENT_FROM_WEBMAIL)
    closes_at = subject.accepted_at + policy.window(administrator=administrator)
    if now > closes_at:
        return Refused(Refusal.WINDOW_EXPIRED, closed_at=closes_at)
    if not subject.local_recipients:
        return Refused(Refusal.NO_LOCAL_RECIPIENTS)
    return Accepted(as_administrator=administrator)


def result_of(tally: Tally) -> Result:
    """R13: succeeded only if every local recipient's copy went.

    All or nothing comes out partial only where a row is broken.

    External recipients never stop the others (R1), so they do not count against success either.
    """
    recalled = tally[Outcome.RECALLED]
    local = tally.total - tally[Outcome.EXTERNAL]
    if recalled == 0:
        return Result.FAILED
    return Result.SUCCEEDED if recalled == local else Result.PARTIAL
