"""What a report says (R18), before any language: the addresses it may name are decided here and nowhere else (R23)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.domain.pace import Pace
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Result
from mailrecall.recalls.outcomes import Addressee, Unknown
from mailrecall.recalls.views import NAMED_DIRECTLY, RecallView


class Reader(StrEnum):
    """In which capacity somebody gets the report."""

    SENDER = "sender"
    """Recalled a message of their own."""
    ADMINISTRATOR = "administrator"
    """Recalled somebody's message."""
    AUTHOR = "author"
    """Wrote a message that an administrator recalled, and is told with `notify_author`."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group that the envelope names, with the outcomes of the members it was the first to lead to."""

    address: str
    name: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class Member:
    """A recipient reached through a group, whose copy stayed."""

    address: str
    group: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RecalledMessage:
    """The message that the recall was about."""

    accepted_at: datetime
    header_message_id: str | None
    from_header: str
    sender_account_id: int | None


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that is known of a recall's recipients, whoever may see it."""

    addressees: Sequence[Addressee]
    groups: Sequence[Group]
    failed: Sequence[Member]
    """By group and address; not all of them, if there are very many or a shard does not answer."""
    pace: Pace | None = None
    """How fast the recall went, where there is something to be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything one reader is told."""

    reader: Reader
    recall: UUID
    asked_by: str
    """The address of whoever asked for the recall."""
    author: str
    """The From field of the recalled message."""
    subject: str
    reason: str
    result: Result
    sent_at: datetime
    requested_at: datetime
    settled_at: datetime
    tombstone: bool
    tally: Tally
    direct: Tally
    """Those the envelope names."""
    addressees: Sequence[Addressee]
    """Those of them that the reader may see."""
    groups: Sequence[Group]
    failed: Sequence[Member]
    """The members the reader may see, by group and address."""
    unlisted: int
    """How many failed members are missing from the list, though the reader might see them."""
    pace: Pace | None


@dataclass(frozen=True, slots=True)
class Disclosure:
    """R23: whom a reader may be told of by name.

    A sender, and an author, knows whom they wrote to and is told what became of each. To an administrator nobody exists
    from whom the message was recalled, and those who kept it only if `admin_sees_failed_accounts`.
    """

    recalled: bool
    failed: bool

    @classmethod
    def to(cls, reader: Reader, policy: Policy) -> "Disclosure":
        """Return what the policy allows a reader."""
        if reader is Reader.ADMINISTRATOR:
            return cls(recalled=False, failed=policy.admin_sees_failed_accounts)
        return cls(recalled=True, failed=True)

    def allows(self, outcome: Outcome | Unknown) -> bool:
        """Tell whether a recipient of that outcome may be named."""
        # one whose outcome could not be read may have been recalled
        return self.recalled if outcome in (Outcome.RECALLED, Unknown.NOT_ANSWERED) else self.failed


def report_for(
    reader: Reader, view: RecallView, message: RecalledMessage, findings: Findings, *, asked_by: str
) -> Report:
    """Put together what a reader is told of a settled recall, and nothing else.

    Raises:
        ValueError: the recall is not settled.
    """
    if view.result is None or view.settled_at is None:
        raise ValueError(f"Recall {view.id} is not settled: there is nothing to report.")
    disclosure = Disclosure.to(reader, view.policy)
    failed = [member for member in findings.failed if disclosure.allows(member.outcome)]
    return Report(
        reader=reader,
        recall=view.public_id,
        asked_by=asked_by,
        author=message.from_header,
        subject=view.subject,
        reason=view.reason,
        result=view.result,
        sent_at=message.accepted_at,
        requested_at=view.requested_at,
        settled_at=view.settled_at,
        tombstone=view.policy.tombstone,
        tally=view.tally,
        direct=view.by_via.get(NAMED_DIRECTLY, Tally({})),
        addressees=[addressee for addressee in findings.addressees if disclosure.allows(addressee.outcome)],
        groups=findings.groups,
        failed=failed,
        unlisted=max(_failed_members(view) - len(failed), 0) if disclosure.failed else 0,
        pace=findings.pace,
    )


def _failed_members(view: RecallView) -> int:
    return sum(t.total - t[Outcome.RECALLED] for via, t in view.by_via.items() if via != NAMED_DIRECTLY)
