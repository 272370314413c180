"""What the console calls the product's fixed things, and what it says of problems."""

from collections.abc import Mapping
from typing import Final

from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as lazy

from mailrecall.domain.approvals import Approval
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Refusal
from mailrecall.domain.trail import ActorKind, Event
from services.gateway.pages import languages
from services.gateway.pages.console import switches
from services.gateway.pages.wording import EXPLAINED, OUTCOMES, RESULTS
from services.gateway.pages.wording import told as told_everywhere
from services.gateway.problems import Code, Problem

REFUSALS: Final[Mapping[str, LazyString]] = {
    Refusal.NOT_FOUND: lazy("Not there any more"),
    Refusal.NOT_SENDER: lazy("Sent by somebody else"),
    Refusal.NOT_IN_ORGANISATION: lazy("From outside the organisation"),
    Refusal.WINDOW_EXPIRED: lazy("Too old"),
    Refusal.NOT_SENT_FROM_WEBMAIL: lazy("Not sent from webmail"),
    Refusal.NO_LOCAL_RECIPIENTS: lazy("No recipient in scope"),
    Refusal.APPROVAL_REQUIRED: lazy("Waits for approval"),
    Refusal.RATE_LIMITED: lazy("Too many recalls in an hour"),
}

BATCH_STATES: Final[Mapping[str, LazyString]] = {
    "waiting": lazy("Waits for approval"),
    "rejected": lazy("Rejected"),
    "lapsed": lazy("Lapsed"),
    "running": lazy("Under way"),
    "settled": lazy("Done"),
}

EVENTS: Final[Mapping[str, LazyString]] = {
    Event.RECALL_REQUESTED: lazy("Recall asked for"),
    Event.RECALL_REFUSED: lazy("Recall refused"),
    Event.RECALL_REPEATED: lazy("Recall tried again"),
    Event.APPROVAL_ASKED: lazy("Approval asked for"),
    Event.APPROVAL_REFUSED: lazy("Decision refused"),
    Event.RECALL_APPROVED: lazy("Recall approved"),
    Event.RECALL_REJECTED: lazy("Recall rejected"),
    Event.RECALL_LAPSED: lazy("Request lapsed"),
    Event.SHARDS_GIVEN_UP: lazy("Shards given up"),
    Event.RECALL_SETTLED: lazy("Recall finished"),
    Event.RECALL_CORRECTED: lazy("Recall corrected"),
    Event.UNDO_REQUESTED: lazy("Undo asked for"),
    Event.UNDO_REFUSED: lazy("Undo refused"),
    Event.UNDO_FINISHED: lazy("Undo finished"),
    Event.PURGED: lazy("Purged"),
    Event.LEGAL_HOLD_PLACED: lazy("Legal hold placed"),
    Event.LEGAL_HOLD_LIFTED: lazy("Legal hold lifted"),
    Event.MAIL_RELEASED: lazy("Held mail released"),
    Event.MAIL_REJECTED: lazy("Held mail rejected"),
    Event.MAIL_CANCELLED: lazy("Held mail cancelled"),
    Event.AUDIT_RULE_ADDED: lazy("Audit rule added"),
    Event.AUDIT_RULE_REMOVED: lazy("Audit rule removed"),
    Event.POLICY_CHANGED: lazy("Policy changed"),
}

ACTORS: Final[Mapping[str, LazyString]] = {
    ActorKind.ACCOUNT: lazy("An account that was removed"),
    ActorKind.OPERATOR: lazy("Operator"),
    ActorKind.SYSTEM: lazy("The system"),
}

DETAILS: Final[Mapping[str, LazyString]] = {
    "reason": lazy("Reason"),
    "as_administrator": lazy("As administrator"),
    "result": lazy("Result"),
    "outcomes": lazy("Outcomes"),
    "recipients": lazy("Recipients"),
    "refusal": lazy("Refusal"),
    "request": lazy("Request"),
    "decision": lazy("Decision"),
    "messages": lazy("Number of messages"),
    "copies": lazy("Copies"),
    "rule": lazy("Rule"),
    "name": lazy("Name"),
    "restored": lazy("Put back"),
    "gone": lazy("Gone"),
    "shards": lazy("Shards"),
    "account": lazy("Account"),
    "address": lazy("Address"),
    "batches": lazy("Pieces of work given up"),
    "group_size": lazy("Members of its groups, at least"),
    "sender": lazy("Sender"),
    "keyword": lazy("Word in subject or text"),
    "external": lazy("Some recipient is outside"),
}

_FIXED: Final = frozenset({"outcomes", "result", "decision", "refusal"})
"""Details whose words are the product's own; others are somebody's, and stay as they were written."""

_DECISIONS: Final[Mapping[str, LazyString]] = {
    Approval.APPROVED: lazy("Approve"),
    Approval.REJECTED: lazy("Reject"),
}

_IDS: Final = frozenset({"rule", "request", "shards"})
"""Details whose numbers count nothing."""

_PROBLEMS: Final[Mapping[Code, LazyString]] = {
    Code.OWN_REQUEST: lazy("You have asked for this yourself; another administrator has to decide."),
    Code.ALREADY_DECIDED: lazy("Somebody was faster, or it has lapsed: it does not wait any more."),
    Code.NOTHING_TO_RESTORE: lazy("No copy was taken from any mailbox: there is nothing to put back."),
    Code.RETENTION_OVER: lazy("The time in which this recall could be undone is over."),
    Code.NOT_SETTLED: lazy("The recall is still going on."),
    Code.NOT_HELD: lazy("The message does not wait any more: it was decided on, or recalled."),
}


def refusal(value: str) -> str:
    """Return why a message is refused, in a few words."""
    return str(REFUSALS[value])


def batch_state(value: str) -> str:
    """Return where a request for many recalls stands."""
    return str(BATCH_STATES[value])


def event(value: str) -> str:
    """Return what a record of the audit trail tells."""
    return str(EVENTS.get(value, value))


def actor(value: str) -> str:
    """Return who did something, where it was no account."""
    return str(ACTORS[value])


def detail_name(name: str) -> str:
    """Return what a detail of a record is called; a switch is called as the policy's form calls it."""
    return str(switches.NAMES.get(name) or DETAILS.get(name, name))


def detail(value: object, name: str) -> str:
    """Return a detail of a record in words."""
    match value:
        case {"from": before, "to": after} if name in switches.NAMES:
            return switches.change(name, before, after)
        case bool():
            return str(_("yes") if value else _("no"))
        case int() if name not in _IDS:
            return languages.number(value)
        case Mapping():
            return ", ".join(f"{detail(str(key), name)}: {detail(one, name)}" for key, one in value.items())
        case list():
            return ", ".join(detail(one, name) for one in value)
        case _:
            return _named(str(value)) if name in _FIXED else str(value)


def _named(text: str) -> str:
    """Return the name of an outcome, a result or a refusal, where a text is one."""
    words: Mapping[str, LazyString] = {
        **{outcome.slug: name for outcome, name in OUTCOMES.items()},
        **{result.value: name for result, name in RESULTS.items()},
        **{code.value: sentence for code, sentence in _PROBLEMS.items()},
        **_DECISIONS,
        **REFUSALS,
    }
    return str(words.get(text, text))


def explained(outcome: Outcome) -> str:
    """Return why a copy stays."""
    return str(EXPLAINED[outcome])


def told(problem: Problem) -> str:
    """Return what the console says of a problem."""
    return str(_PROBLEMS.get(problem.code) or told_everywhere(problem) or _("That did not work."))
