"""R25: what a recall would come to, before anybody asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailrecall.directory import lookup
from mailrecall.directory.lookup import Account
from mailrecall.domain.approvals import needs_approval
from mailrecall.domain.copies import author_copy_id, message_of
from mailrecall.domain.outcomes import Tally
from mailrecall.domain.recalls import Refused, Requester, judge, judge_repeat
from mailrecall.recalls import previews, subjects, views
from mailrecall.recalls.previews import Preview
from mailrecall.recalls.views import RecallMark
from mailrecall.wiring import Process
from services.gateway import recalling
from services.gateway.recalling import Group
from services.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A preview with what somebody needs to decide whether to ask."""

    message_id: int
    subject: str
    accepted_at: datetime
    closes_at: datetime
    """R3: the last moment at which this account can ask."""
    as_administrator: bool
    needs_approval: bool
    """R21: a second administrator would have to approve."""
    preview: Preview
    groups: Sequence[Group]
    recall: RecallMark | None
    """R12: the message was recalled before; the counts are then those of that recall, and nothing further would go."""

    @property
    def author_copy_id(self) -> int:
        """The message, as its author's Sent folder shows it."""
        return author_copy_id(self.message_id)

    @property
    def direct(self) -> Tally:
        """The outcomes of those whom the sender named directly."""
        return self.preview.by_via.get(views.NAMED_DIRECTLY, Tally({}))

    @property
    def complete(self) -> bool:
        """Whether all shards answered in time."""
        return self.preview.unknown == 0

    @property
    def recallable(self) -> int:
        """How many copies would go if one asked now."""
        return 0 if self.recall else self.preview.recallable


def preview(process: Process[GatewaySettings], account: Account, copy_id: int, *, now: datetime) -> Shown:
    """Foresee a recall of one's own message, or as an administrator of any of the organisation's; it changes nothing.

    Raises:
        Problem: the refusal of R10 that asking for the recall would meet, the number of recent recalls aside.
    """
    requester = Requester(account.id, account.organisation_id, account.administrator)
    message_id = message_of(copy_id)
    with process.databases.control() as control:
        policy = lookup.policy_of(control, account.organisation_id)
        subject = subjects.subject_of(control, message_id, policy)
        recalled = views.of_message(control, message_id)
        if recalled is None:
            verdict = judge(requester, subject, policy, recent_recalls=0, now=now)
        else:
            verdict = judge_repeat(
                requester, subject, requested_by=recalled.requested_by, organisation_id=recalled.organisation_id
            )
        if isinstance(verdict, Refused):
            raise recalling.problem(verdict)
        headline = previews.headline_of(control, message_id)
        groups = recalling.groups_of(control, message_id)
    if recalled is None:
        foreseen = previews.preview(process.databases, [message_id], policy, now=now)[message_id]
    else:
        by_via = recalled.by_via if recalling.may_see(account, recalled) else {}
        foreseen = Preview(by_via, unknown=0)
    return Shown(
        message_id=message_id,
        subject=headline.subject,
        accepted_at=headline.accepted_at,
        closes_at=headline.accepted_at + policy.window(administrator=requester.administrator),
        as_administrator=verdict.as_administrator,
        needs_approval=recalled is None
        and needs_approval(foreseen.copies, policy, as_administrator=verdict.as_administrator),
        preview=foreseen,
        groups=[Group(address, foreseen.by_via.get(position, Tally({}))) for position, address in groups],
        recall=RecallMark(message_id, recalled.public_id, recalled.state, recalled.result) if recalled else None,
    )
