"""R4: passing mail on as an account's forwarding rule wants it.

The forward goes out under the account's own address: should it fail, the account is told, and not the author, who would
learn where the account's mail goes. Mail with a null reverse-path (bounces, reports) therefore stays where it is: what
tells an account that its forwards fail must not be forwarded itself.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall import faultpoints, logs
from mailrecall.directory import forwarding as directory
from mailrecall.directory import lookup
from mailrecall.directory.forwarding import Rule
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address, AddressError
from mailrecall.domain.recalls import Channel
from mailrecall.faultpoints import Commit
from mailrecall.mailstore.forwarding import Forward
from mailrecall.messages.acceptance import EnvelopeRecipient, Incoming, accept
from mailrecall.messages.delivery import DeliveryBatch, content
from mailrecall.messages.forwards import PlannedForward, lock_forward, record_forward
from mailrecall.mime import trace
from mailrecall.mime.summary import summarise
from mailrecall.outbox import store as outbox
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.delivery.bouncing import bounce_to

log = logs.get(__name__)

MOST_HOPS = 50
"""Received fields after which a message is not forwarded any more: it stays where it has come to."""

_NO_SMARTHOST = "550 5.7.1 This host sends no mail to other hosts"
_NOBODY = "550 5.1.1 There is no mailbox to forward to"


def forwards_due(connection: Connection[Any], message_id: int, todo: DeliveryBatch) -> list[Forward]:
    """Return which copies of a batch about to be deposited their accounts pass on.

    One query where nobody in the batch has a rule, and none at all for mail that is never forwarded. A message that an
    account has forwarded before has come back: it stays, whatever the rule says.
    """
    if not todo.envelope_sender:
        return []
    ruled = directory.rules_between(connection, todo.mailbox_ids[0], todo.mailbox_ids[-1])
    members = set(todo.mailbox_ids) if ruled else set()
    rules: Mapping[int, Rule] = {account_id: rule for account_id, rule in ruled.items() if account_id in members}
    octets = content(connection, message_id) if rules else None
    if octets is None or trace.hops(octets) > MOST_HOPS:
        return []
    seen = trace.delivered_to(octets)
    own = lookup.addresses_of(connection, list(rules)) if seen else {}
    return [
        Forward(account_id, rule.target, rule.keep_copy)
        for account_id, rule in rules.items()
        if own.get(account_id) not in seen
    ]


def forward_message(
    process: Process[Settings], *, message_id: int, account_id: int, work_id: int, now: datetime
) -> None:
    """Accept the forward of one account's copy, or tell the account that it cannot go there; once."""
    with process.databases.control() as connection:
        planned = lock_forward(connection, message_id, account_id)
        account = lookup.account_by_id(connection, account_id)
        if planned is not None and account is not None:
            forward_id = _accept(connection, process.settings, account, planned, now=now)
            record_forward(connection, message_id, account_id, forward_id, now=now)
            log.info("delivery.forwarded", message_id=message_id, account_id=account_id, forward_id=forward_id)
        outbox.finish(connection, work_id)
        faultpoints.before(Commit.FORWARD)
    faultpoints.after(Commit.FORWARD)


def _accept(
    connection: Connection[Any], settings: Settings, account: Account, planned: PlannedForward, *, now: datetime
) -> int | None:
    recipients = _recipients(connection, settings, planned.target)
    if isinstance(recipients, str):
        bounce_to(
            connection,
            account.address,
            {planned.target: recipients},
            beginning=planned.content,
            arrived_at=planned.accepted_at,
            now=now,
            hostname=settings.hostname,
        )
        return None
    octets = trace.forwarded(
        planned.content, by=account.address, hostname=settings.hostname, identifier=secrets.token_hex(8), now=now
    )
    incoming = Incoming(
        author=None,
        envelope_sender=account.address,
        channel=Channel.FORWARDED,
        content=octets,
        summary=summarise(octets),
        recipients=recipients,
    )
    return accept(connection, incoming, now=now)


def _recipients(connection: Connection[Any], settings: Settings, target: str) -> Sequence[EnvelopeRecipient] | str:
    """Return whom the forward goes to, or why it cannot."""
    try:
        address = Address.parse(target)
    except AddressError:
        return _NOBODY
    found = lookup.resolve(connection, [address])[address]
    if found.kind == "account":
        return [EnvelopeRecipient(found.address, "account", found.account_id)]
    if found.kind == "external":
        return [EnvelopeRecipient(target, "external")] if settings.smarthost else _NO_SMARTHOST
    return _NOBODY
