"""R19, R20: what the administrators' console starts from: who may use it, and the search for messages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import psycopg

from mailrecall.directory import lookup
from mailrecall.directory.lookup import Account
from mailrecall.domain.policy import GroupMode, Policy
from mailrecall.domain.recalls import Channel, Refusal, Refused, Requester, Subject, judge
from mailrecall.recalls import listing, search
from mailrecall.recalls.listing import RecallPage
from mailrecall.recalls.search import Criteria, Found, Place
from mailrecall.wiring import Process
from services.gateway.problems import Code, Problem
from services.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that was found, with whether the administrator could recall it now."""

    found: Found
    refusal: Refusal | None
    """Why a request for it would be refused at this moment; None: it would not."""
    closes_at: datetime
    """R3: until when it can be asked for."""


@dataclass(frozen=True, slots=True)
class HitPage:
    """Part of what was found, newest first; it can be short and still not the last (`next_cursor`)."""

    messages: list[Hit]
    next_cursor: Place | None


def require_administrator(account: Account) -> None:
    """Let nobody but administrators through (R19).

    Raises:
        Problem: 403 `not_allowed`.
    """
    if not account.administrator:
        raise Problem(Code.NOT_ALLOWED, "Only administrators may do that.")


def find_messages(
    process: Process[GatewaySettings],
    administrator: Account,
    criteria: Criteria,
    *,
    limit: int,
    cursor: Place | None,
    now: datetime,
) -> HitPage:
    """Search the organisation's mail.

    Raises:
        Problem: the account is no administrator, or the search takes too long for what it names.
    """
    require_administrator(administrator)
    with process.databases.control() as control:
        policy = lookup.policy_of(control, administrator.organisation_id)
    try:
        page = search.search(
            process.databases,
            administrator.organisation_id,
            criteria,
            policy,
            limit=limit,
            after=cursor,
            now=now,
        )
    except psycopg.errors.QueryCanceled:
        raise Problem(Code.TOO_WIDE, "That takes too long; name a sender, or a shorter time.") from None
    return HitPage([_hit(administrator, found, policy, now=now) for found in page.found], page.next_place)


def look_at(
    process: Process[GatewaySettings],
    administrator: Account,
    message_ids: Sequence[int],
    *,
    only_unread: bool = False,
    now: datetime,
) -> list[Hit]:
    """R25: foresee a recall of messages that were chosen from what was found, newest first; it changes nothing.

    Those that are not there, or not of the organisation (R24), are left out.

    Args:
        process: whose databases.
        administrator: who asks.
        message_ids: the chosen messages.
        only_unread: R20: whether nothing is to be taken of a message of which some copy has to stay.
        now: the present moment.

    Raises:
        Problem: the account is no administrator.
    """
    require_administrator(administrator)
    with process.databases.control() as control:
        policy = lookup.policy_of(control, administrator.organisation_id)
    if only_unread:
        # as the recalls themselves will
        policy = replace(policy, group_mode=GroupMode.ALL_OR_NOTHING)
    looked = search.look_at(process.databases, administrator.organisation_id, message_ids, policy, now=now)
    return [_hit(administrator, found, policy, now=now) for found in looked]


def recalls(process: Process[GatewaySettings], administrator: Account, *, limit: int, cursor: int | None) -> RecallPage:
    """List the recalls of the organisation's mail, whoever asked for them, newest first.

    Raises:
        Problem: the account is no administrator.
    """
    require_administrator(administrator)
    with process.databases.control() as control:
        return listing.of_organisation(control, administrator.organisation_id, limit=limit, before=cursor)


def _hit(administrator: Account, found: Found, policy: Policy, *, now: datetime) -> Hit:
    message = found.message
    subject = Subject(
        sender_account_id=message.sender_account_id,
        organisation_id=administrator.organisation_id,
        channel=Channel(message.channel),
        accepted_at=message.accepted_at,
        local_recipients=found.preview is None or found.preview.copies > 0,
    )
    requester = Requester(administrator.id, administrator.organisation_id, administrator=True)
    verdict = judge(requester, subject, policy, recent_recalls=0, now=now)
    return Hit(
        found,
        # R12: what was recalled can be asked for again at any time
        verdict.refusal if isinstance(verdict, Refused) and found.recall is None else None,
        message.accepted_at + policy.window(administrator=True),
    )
