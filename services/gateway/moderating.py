"""R30: audit rules for administrators, and held mail for moderators, over HTTP."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.audit import trail
from mailrecall.directory import audit_rules, lookup
from mailrecall.directory.audit_rules import AuditRule
from mailrecall.directory.errors import Code as Refusal
from mailrecall.directory.errors import DirectoryError
from mailrecall.directory.lookup import Account, Language
from mailrecall.domain.audit import Criteria, Hold
from mailrecall.domain.recalls import Channel
from mailrecall.domain.trail import Actor, Entry, Event
from mailrecall.messages import delivery, holding
from mailrecall.messages.acceptance import EnvelopeRecipient, Incoming, accept
from mailrecall.messages.holding import Held
from mailrecall.mime import parts
from mailrecall.mime.compose import Composition, Mailbox, compose
from mailrecall.mime.parts import Attachment, Readable
from mailrecall.mime.summary import summarise
from mailrecall.postgres import queries
from mailrecall.wiring import Process
from services.gateway.problems import Code, FieldError, Problem, not_found
from services.gateway.settings import GatewaySettings

_SQL = queries.load(__package__, "moderating.sql")

_SUBJECT: dict[Language, str] = {"en": "Your message was not released", "zh": "您的邮件未获放行"}
_TEXT: dict[Language, str] = {
    "en": "A moderator has decided that your message is not to be delivered. Nobody has received it.\n\n"
    "Subject: {subject}\nReason: {reason}\n",
    "zh": "审核员已决定不投递您的邮件，没有任何人收到它。\n\n主题：{subject}\n原因：{reason}\n",
}


_POINTERS = {Refusal.NAME_INVALID: "#/name", Refusal.AUDIT_RULE_TAKEN: "#/name", Refusal.ADDRESS_INVALID: "#/sender"}
"""Which field of a rule the directory refuses; its size is checked before."""


@dataclass(frozen=True, slots=True)
class HeldPage:
    """Messages that wait, the longest waiting first; `next_cursor` leads on, if there are more."""

    messages: Sequence[Held]
    next_cursor: int | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A message that waits, as its moderator reads it."""

    held: Held
    recipients: Sequence[str]
    """All addresses of the envelope, hidden copies included."""
    readable: Readable
    attachments: Sequence[Attachment]


def rules(process: Process[GatewaySettings], administrator: Account) -> list[AuditRule]:
    """Return the rules of the administrator's organisation.

    Raises:
        Problem: the account is none.
    """
    _require_administrator(administrator)
    with process.databases.control() as control:
        return audit_rules.rules_of(control, administrator.organisation_id)


def add_rule(
    process: Process[GatewaySettings], administrator: Account, name: str, criteria: Criteria, *, now: datetime
) -> AuditRule:
    """Add a rule for what is accepted from now on.

    Raises:
        Problem: the account is no administrator, or the rule cannot be.
    """
    _require_administrator(administrator)
    try:
        with process.databases.control() as control:
            rule = audit_rules.add_rule(control, administrator.organisation_id, name, criteria)
            asks_for = {name: value for name, value in asdict(rule.criteria).items() if value}
            details = {"rule": rule.id, "name": rule.name, **asks_for}
            trail.append(control, _entry(administrator, Event.AUDIT_RULE_ADDED, details), now=now)
            return rule
    except DirectoryError as error:
        pointer = _POINTERS.get(error.code, "#/keyword")
        raise Problem(Code.INVALID, str(error), [FieldError(pointer, str(error), error.code.value)]) from None


def remove_rule(process: Process[GatewaySettings], administrator: Account, rule_id: int, *, now: datetime) -> None:
    """Remove a rule; what it holds stays held.

    Raises:
        Problem: the account is no administrator, or there is no such rule.
    """
    _require_administrator(administrator)
    with process.databases.control() as control:
        if not audit_rules.remove_rule(control, administrator.organisation_id, rule_id):
            raise not_found("audit rule")
        trail.append(control, _entry(administrator, Event.AUDIT_RULE_REMOVED, {"rule": rule_id}), now=now)


def page(
    process: Process[GatewaySettings], moderator: Account, *, limit: int, cursor: int | None, now: datetime
) -> HeldPage:
    """List what waits in the moderator's organisation.

    Raises:
        Problem: the account is no moderator.
    """
    with process.databases.control() as control:
        _require_moderator(control, moderator)
        # one more than was asked for tells whether there is a next page
        found = holding.list_held(control, moderator.organisation_id, limit=limit + 1, after=cursor or 0, now=now)
    return HeldPage(found[:limit], found[limit - 1].message_id if len(found) > limit else None)


def show(process: Process[GatewaySettings], moderator: Account, message_id: int, *, now: datetime) -> Shown:
    """Return a message that waits, to be judged.

    Raises:
        Problem: the account is no moderator, or the message does not wait.
    """
    with process.databases.control() as control:
        held, content = _waiting(control, moderator, message_id, now=now)
        recipients = holding.envelope_of(control, message_id)
    return Shown(held, recipients, parts.readable(content), parts.attachments(content))


def content(process: Process[GatewaySettings], moderator: Account, message_id: int, *, now: datetime) -> bytes:
    """Return a message that waits as it came in, for what its HTML refers to and what is attached; it is nobody's read.

    Raises:
        Problem: the account is no moderator, or the message does not wait.
    """
    with process.databases.control() as control:
        return _waiting(control, moderator, message_id, now=now)[1]


def attachment(
    process: Process[GatewaySettings], moderator: Account, message_id: int, index: int, *, now: datetime
) -> tuple[Attachment, bytes]:
    """Return an attachment of a message that waits; it is no recipient's download (R5).

    Raises:
        Problem: the account is no moderator, the message does not wait, or it has no such attachment.
    """
    try:
        return parts.attachment_content(content(process, moderator, message_id, now=now), index)
    except LookupError:
        raise not_found("attachment") from None


def release(process: Process[GatewaySettings], moderator: Account, message_id: int, *, now: datetime) -> None:
    """Have a message delivered.

    Raises:
        Problem: the account is no moderator, or the message does not wait: perhaps it was just recalled.
    """
    with process.databases.control() as control:
        _require_moderator(control, moderator)
        known = holding.hold_of(control, moderator.organisation_id, message_id, now=now) is not None
        if not known or not holding.release(control, message_id, moderator=moderator.id, now=now):
            raise _not_waiting(control, moderator, message_id, now=now)


def reject(
    process: Process[GatewaySettings], moderator: Account, message_id: int, reason: str, *, now: datetime
) -> None:
    """Have nobody get a message, and tell its sender why.

    Raises:
        Problem: the account is no moderator, or the message does not wait.
    """
    with process.databases.control() as control:
        _require_moderator(control, moderator)
        known = holding.hold_of(control, moderator.organisation_id, message_id, now=now) is not None
        if not known or not holding.reject(control, message_id, moderator=moderator.id, reason=reason, now=now):
            raise _not_waiting(control, moderator, message_id, now=now)
        _tell_sender(control, process.settings.hostname, message_id, reason, now=now)


def _tell_sender(control: Connection[Any], hostname: str, message_id: int, reason: str, *, now: datetime) -> None:
    row = control.execute(_SQL["sender_and_subject"], {"message_id": message_id}).fetchone()
    sender = lookup.account_by_id(control, row[0]) if row else None
    if row is None or sender is None or sender.closed:
        return
    content = compose(
        Composition(
            from_address=f"mailer-daemon@{hostname}",
            to=[Mailbox(sender.address)],
            subject=_SUBJECT[sender.language],
            text=_TEXT[sender.language].format(subject=row[1], reason=reason),
            auto_submitted=True,
        ),
        now=now,
        hostname=hostname,
    )
    incoming = Incoming(
        author=None,
        envelope_sender="",
        channel=Channel.SYSTEM,
        content=content,
        summary=summarise(content),
        recipients=[EnvelopeRecipient(sender.address, "account", sender.id)],
    )
    accept(control, incoming, now=now)


def _entry(administrator: Account, event: Event, details: dict[str, object]) -> Entry:
    return Entry(
        organisation_id=administrator.organisation_id,
        event=event,
        actor=Actor.account(administrator.id),
        details=details,
    )


def _require_administrator(account: Account) -> None:
    if not account.administrator:
        raise Problem(Code.NOT_ALLOWED, "Only administrators see and change audit rules.")


def _require_moderator(control: Connection[Any], account: Account) -> None:
    if not audit_rules.is_moderator(control, account):
        raise Problem(Code.NOT_ALLOWED, "Only moderators and administrators decide on held mail.")


def _waiting(control: Connection[Any], moderator: Account, message_id: int, *, now: datetime) -> tuple[Held, bytes]:
    _require_moderator(control, moderator)
    held = holding.find_held(control, moderator.organisation_id, message_id, now=now)
    found = delivery.content(control, message_id) if held else None
    if held is None or found is None:
        raise _not_waiting(control, moderator, message_id, now=now)
    return held, found


def _not_waiting(control: Connection[Any], moderator: Account, message_id: int, *, now: datetime) -> Problem:
    """Say why a message cannot be decided on; what lies in other organisations does not exist (R24)."""
    hold = holding.hold_of(control, moderator.organisation_id, message_id, now=now)
    if hold is None:
        return not_found("held message")
    detail = "It was recalled by now." if hold is Hold.CANCELLED else f"It is {hold.value} by now."
    return Problem(Code.NOT_HELD, f"The message does not wait any more. {detail}", extra={"hold": hold.value})
