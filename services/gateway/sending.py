"""What sending from webmail is made of; every addressee is looked up first, so that nothing is half sent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from mailrecall.directory import accounts, lookup
from mailrecall.directory.lookup import Account, Resolution
from mailrecall.domain.addresses import Address
from mailrecall.domain.copies import author_copy_id
from mailrecall.domain.recalls import Channel
from mailrecall.mailstore import reading, residence
from mailrecall.messages.acceptance import Author, EnvelopeRecipient, Incoming, accept
from mailrecall.mime.compose import Composition, CompositionError, Mailbox, NewAttachment, compose
from mailrecall.mime.summary import summarise
from mailrecall.wiring import Process
from services.gateway.problems import Code, FieldError, Problem, not_found
from services.gateway.settings import GatewaySettings

_REFUSED = {
    "unknown": ("unknown_recipient", "Nobody has the address {address}."),
    "closed": ("mailbox_closed", "The mailbox {address} is closed."),
    "external": ("external_refused", "{address} is outside, and this server sends no mail to the outside."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message as its author wrote it."""

    to: Sequence[Address] = ()
    cc: Sequence[Address] = ()
    bcc: Sequence[Address] = ()
    subject: str = ""
    text: str = ""
    html: str | None = None
    attachments: Sequence[NewAttachment] = ()
    in_reply_to: str | None = None
    """The Message-ID of the message answered."""
    delay: int | None = None
    """R28: seconds to change one's mind; None: as many as the account has chosen."""

    @property
    def addressees(self) -> Mapping[str, Address]:
        """Every addressee, under the pointer to its place in the request."""
        fields = {"to": self.to, "cc": self.cc, "bcc": self.bcc}
        return {f"#/{name}/{i}": address for name, addresses in fields.items() for i, address in enumerate(addresses)}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that was accepted: durable, and on its way from `sends_at` on."""

    copy_id: int
    """Of the author's own copy."""
    accepted_at: datetime
    sends_at: datetime

    @property
    def waiting_id(self) -> int | None:
        """The copy's id while its author can take the message back (R28)."""
        return self.copy_id if self.sends_at > self.accepted_at else None


Meanwhile = Callable[[Connection[Any], Outgoing], None]
"""What has to become true in the same transaction as that a message is accepted."""


@dataclass(frozen=True, slots=True)
class Forward:
    """To whom a message is passed on, with what words."""

    to: Sequence[Address]
    comment: str = ""


def forward(
    process: Process[GatewaySettings],
    author: Account,
    copy_id: int,
    forward_to: Forward,
    *,
    meanwhile: Meanwhile | None = None,
    now: datetime,
) -> Outgoing:
    """Pass a message on, enclosed as it came in; it goes out at once.

    R4: that the copy was forwarded is committed on its shard before the forward is accepted. A crash in between leaves
    a copy that stays for nothing, never one that is withdrawn after its content went on.

    Raises:
        Problem: there is no such message in the author's mailbox, a recipient cannot get it, or it is too large.
    """
    with residence.mailbox(process.databases, author) as shard:
        entry = reading.find(shard, author.id, copy_id)
        enclosed = reading.content_of(shard, author.id, copy_id)
    if entry is None or enclosed is None:
        raise not_found("message")
    message = NewMessage(to=forward_to.to, subject=_forwarded_subject(entry.subject), text=forward_to.comment)
    recipients = resolve(process, message.addressees)
    content = composed(process.settings, author, message, enclosed, now=now)
    with residence.mailbox(process.databases, author) as shard:
        recorded = reading.record_forward(shard, author.id, copy_id, now=now)
    if not recorded:
        raise not_found("message")
    return accepted(process, author, recipients, content, meanwhile=meanwhile, now=now)


def delay_of(process: Process[GatewaySettings], author: Account, wanted: int | None) -> timedelta:
    """R28: return how long a message waits before it goes out: as the request says, else as the account has it."""
    if wanted is not None:
        return timedelta(seconds=wanted)
    with process.databases.control() as control:
        return timedelta(seconds=accounts.undo_send_of(control, author.id))


def resolve(process: Process[GatewaySettings], addressees: Mapping[str, Address]) -> list[EnvelopeRecipient]:
    """Look up all addressees of a message.

    Raises:
        Problem: there are none or too many, or some cannot get it.
    """
    if not addressees:
        detail = "Name at least one recipient in to, cc or bcc."
        raise Problem(Code.INVALID, detail, [FieldError("#/to", detail)])
    if len(addressees) > process.settings.max_recipients:
        detail = f"One message can name {process.settings.max_recipients} recipients at most; use a group."
        raise Problem(Code.INVALID, detail, [FieldError("#/to", detail)])
    with process.databases.control() as control:
        found = lookup.resolve(control, list(addressees.values()))
    errors: list[FieldError] = []
    recipients: list[EnvelopeRecipient] = []
    for pointer, address in addressees.items():
        resolution = found[address]
        if refused := _refusal(resolution, address, relays=bool(process.settings.smarthost)):
            errors.append(FieldError(pointer, refused[1], refused[0]))
        else:
            recipients.append(_recipient(resolution, address))
    if errors:
        raise Problem(Code.RECIPIENTS_REFUSED, "; ".join(error.detail for error in errors[:3]), errors)
    return recipients


def _refusal(resolution: Resolution, address: Address, *, relays: bool) -> tuple[str, str] | None:
    if resolution.kind in ("account", "group") or (resolution.kind == "external" and relays):
        return None
    code, detail = _REFUSED[resolution.kind]
    return code, detail.format(address=address)


def _recipient(resolution: Resolution, address: Address) -> EnvelopeRecipient:
    if resolution.kind == "unknown" or resolution.kind == "closed":  # noqa: PLR1714 - mypy narrows only this way
        raise AssertionError("refused before")
    if resolution.kind == "external":
        return EnvelopeRecipient(address.as_written, "external")
    return EnvelopeRecipient(resolution.address, resolution.kind, resolution.account_id, resolution.group_id)


def composed(
    settings: GatewaySettings, author: Account, message: NewMessage, forwarded: bytes | None, *, now: datetime
) -> bytes:
    """Write a message's bytes.

    Raises:
        Problem: it would be too large, or has characters that no mail carries.
    """
    composition = Composition(
        from_address=author.address,
        from_name=author.display_name,
        to=[Mailbox(address.as_written) for address in message.to],
        cc=[Mailbox(address.as_written) for address in message.cc],
        subject=message.subject,
        text=message.text,
        html=message.html,
        attachments=message.attachments,
        in_reply_to=message.in_reply_to,
        forwarded=forwarded,
    )
    try:
        content = compose(composition, now=now, hostname=settings.hostname)
    except CompositionError as error:
        raise Problem(Code.INVALID, str(error), [FieldError("#", str(error))]) from None
    if len(content) > settings.max_message_size:
        raise Problem(
            Code.TOO_LARGE,
            f"The message would have {len(content)} octets; {settings.max_message_size} are allowed. "
            "Attachments grow by a third in mail.",
        )
    return content


def accepted(
    process: Process[GatewaySettings],
    author: Account,
    recipients: Sequence[EnvelopeRecipient],
    content: bytes,
    *,
    message_id: int | None = None,
    delay: timedelta = timedelta(0),
    meanwhile: Meanwhile | None = None,
    now: datetime,
) -> Outgoing:
    """Accept a message for delivery.

    Args:
        process: the process.
        author: who sends it.
        recipients: whom it goes to.
        content: its bytes.
        message_id: the id that it had as a draft, if it was one; a message with a delay is one until it goes out.
        delay: after which it goes out (R28).
        meanwhile: done in the same transaction.
        now: the moment of acceptance (R3).

    Raises:
        AlreadyAcceptedError: that id's draft was sent before.
    """
    incoming = Incoming(
        author=Author(author.id, author.organisation_id, author.shard),
        envelope_sender=author.address,
        channel=Channel.WEBMAIL,
        content=content,
        summary=summarise(content),
        recipients=recipients,
        file_author_copy=True,
        id=message_id,
        sends_at=now + delay if delay else None,
    )
    with process.databases.control() as control:
        accepted_id = accept(control, incoming, now=now)
        outgoing = Outgoing(author_copy_id(accepted_id), now, now + delay)
        if meanwhile:
            meanwhile(control, outgoing)
    return outgoing


def _forwarded_subject(subject: str) -> str:
    # what strangers wrote can hold characters that no subject of ours may have
    line = "".join(character for character in " ".join(subject.split()) if character.isprintable())
    return line if line.lower().startswith(("fwd:", "fw:")) else f"Fwd: {line}".strip()
