"""R30: mail that an audit rule holds until a moderator decides, always in the caller's control transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from psycopg import Connection

from mailrecall.audit import trail
from mailrecall.directory import audit_rules
from mailrecall.domain.audit import Hold, Traits, first_match
from mailrecall.domain.trail import Actor, Entry, Event
from mailrecall.messages.counting import deliveries_done
from mailrecall.mime.summary import searchable_text
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "holding.sql")

_EVENTS = {
    Hold.RELEASED: Event.MAIL_RELEASED,
    Hold.REJECTED: Event.MAIL_REJECTED,
    Hold.CANCELLED: Event.MAIL_CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Held:
    """A message that waits, as a moderator's list shows it."""

    message_id: int
    rule: str
    """The name of the rule that it met."""
    held_at: datetime
    accepted_at: datetime
    size: int
    from_header: str
    to_header: str
    subject: str
    preview: str
    attachments: int


def hold_if_ruled(
    connection: Connection[Any],
    message_id: int,
    content: bytes,
    *,
    organisation_id: int,
    sender_account_id: int,
    now: datetime,
) -> str | None:
    """Hold a message that was just written, envelope included, if it meets a rule of its sender's organisation.

    Where there are no rules this is one query, and nothing is read of the message.

    Returns:
        the rule's name; None when the message is to be delivered.
    """
    rules = audit_rules.rules_of(connection, organisation_id)
    if not rules:
        return None
    addresses = connection.execute(_SQL["addresses_of_sender"], {"account_id": sender_account_id}).fetchall()

    @cache
    def reach() -> tuple[int, int]:
        row = connection.execute(_SQL["reach"], {"message_id": message_id}).fetchone()
        return (row[0], row[1]) if row else (0, 0)

    @cache
    def text() -> str:
        return searchable_text(content)

    traits = Traits(frozenset(address for (address,) in addresses), reach, text)
    rule = first_match([(rule.name, rule.criteria) for rule in rules], traits)
    if rule is not None:
        connection.execute(_SQL["hold"], {"message_id": message_id, "rule": rule, "now": now})
    return rule


def release(connection: Connection[Any], message_id: int, *, moderator: int, now: datetime) -> bool:
    """Let a held message be delivered; it counts as accepted when it was (R3).

    Returns:
        False when it was decided before: released, rejected or recalled.
    """
    if not _decide(connection, message_id, Hold.RELEASED, decided_by=moderator, reason=None, now=now):
        return False
    outbox.add(connection, [work.expand(message_id)], due_at=now)
    return True


def reject(connection: Connection[Any], message_id: int, *, moderator: int, reason: str, now: datetime) -> bool:
    """Have nobody get a held message; the caller tells its sender, in the same transaction.

    Returns:
        False when it was decided before.
    """
    if not _decide(connection, message_id, Hold.REJECTED, decided_by=moderator, reason=reason, now=now):
        return False
    # the expansion, which now never comes
    deliveries_done(connection, message_id, done=1, now=now)
    return True


def cancel(connection: Connection[Any], message_id: int, *, requester: int, now: datetime) -> bool:
    """Let nobody ever get a message because it is recalled while it waits, for a moderator (R30) or its moment (R28).

    Returns:
        False when it does not wait (any more).
    """
    if _decide(connection, message_id, Hold.CANCELLED, decided_by=requester, reason=None, now=now):
        return True
    return bool(connection.execute(_SQL["cancel_unsent"], {"message_id": message_id, "now": now}).rowcount)


def waiting_among(connection: Connection[Any], message_ids: Sequence[int], *, now: datetime) -> list[int]:
    """Return which of the messages `cancel` would stop: those that wait, for a moderator or for their moment."""
    rows = connection.execute(_SQL["waiting_among"], {"message_ids": list(message_ids), "now": now}).fetchall()
    return [message_id for (message_id,) in rows]


def list_held(
    connection: Connection[Any], organisation_id: int, *, limit: int, after: int = 0, now: datetime
) -> list[Held]:
    """Return messages that wait, the longest waiting first, beginning after a message's id."""
    parameters = {"organisation_id": organisation_id, "limit": limit, "after": after, "now": now}
    return [Held(*row) for row in connection.execute(_SQL["list_held"], parameters).fetchall()]


def find_held(connection: Connection[Any], organisation_id: int, message_id: int, *, now: datetime) -> Held | None:
    """Return a message that waits; None for any other, and for those of other organisations (R24)."""
    keys = {"organisation_id": organisation_id, "message_id": message_id, "now": now}
    row = connection.execute(_SQL["find_held"], keys).fetchone()
    return Held(*row) if row else None


def hold_of(connection: Connection[Any], organisation_id: int, message_id: int, *, now: datetime) -> Hold | None:
    """Return where a message that had to wait stands; None for any other, and for those of other organisations."""
    keys = {"organisation_id": organisation_id, "message_id": message_id, "now": now}
    row = connection.execute(_SQL["was_held"], keys).fetchone()
    return Hold(row[0]) if row else None


def envelope_of(connection: Connection[Any], message_id: int) -> Sequence[str]:
    """Return all addresses that a message's envelope names, hidden copies included."""
    return [address for (address,) in connection.execute(_SQL["recipients"], {"message_id": message_id}).fetchall()]


def _decide(
    connection: Connection[Any], message_id: int, hold: Hold, *, decided_by: int, reason: str | None, now: datetime
) -> bool:
    parameters = {"message_id": message_id, "hold": hold, "decided_by": decided_by, "reason": reason, "now": now}
    row = connection.execute(_SQL["decide"], parameters).fetchone()
    if row is None:
        return False
    organisation_id, rule = row
    entry = Entry(
        organisation_id=organisation_id,
        event=_EVENTS[hold],
        actor=Actor.account(decided_by),
        message_id=message_id,
        details={"rule": rule, **({"reason": reason} if reason else {})},
    )
    trail.append(connection, entry, now=now)
    return True
