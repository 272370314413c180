"""R28: drafts over HTTP. Saving takes what is there, half an address too; only sending asks whether it makes sense."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address, AddressError
from mailrecall.domain.copies import author_copy_id, is_author_copy, message_of
from mailrecall.mailstore import drafts, residence
from mailrecall.mailstore.deposit import ListedMessage
from mailrecall.mailstore.drafts import Draft, Saving
from mailrecall.messages.acceptance import AlreadyAcceptedError, is_accepted
from mailrecall.messages.ids import unused_ids
from mailrecall.mime import parts
from mailrecall.mime.compose import NewAttachment
from mailrecall.mime.parts import Attachment
from mailrecall.mime.summary import summarise
from mailrecall.wiring import Process
from services.gateway import sending
from services.gateway.problems import Code, FieldError, Problem, not_found
from services.gateway.sending import NewMessage, Outgoing
from services.gateway.settings import GatewaySettings

Matches = Callable[[int], bool]
"""Tells whether a saved version is one that the request was made from (RFC 9110 section 13.1.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What somebody has typed so far."""

    to: Sequence[str] = ()
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    subject: str = ""
    text: str = ""
    html: str | None = None
    attachments: Sequence[NewAttachment] | None = None
    """None: those that are there."""
    in_reply_to: str | None = None
    """The Message-ID of the message answered; None: of the one that the draft has answered so far."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A draft as it is saved."""

    draft: Draft
    attachments: Sequence[Attachment]
    being_sent: bool


def create(process: Process[GatewaySettings], author: Account, typed: Typed, *, now: datetime) -> Saved:
    """Save a new draft.

    Raises:
        Problem: it is too large, or its subject cannot stand in a mail.
    """
    with process.databases.control() as control:
        message_id, body_id = unused_ids(control, 2)
    new = _composed(process, author, typed, typed.attachments or (), body_id, now=now)
    copy_id = author_copy_id(message_id)
    with residence.mailbox(process.databases, author) as shard:
        drafts.create(shard, author.id, copy_id, new, now=now)
    return find(process, author, copy_id)


def find(process: Process[GatewaySettings], author: Account, copy_id: int) -> Saved:
    """Return a draft.

    Raises:
        Problem: there is no such draft.
    """
    with residence.mailbox(process.databases, author) as shard:
        draft = drafts.find(shard, author.id, copy_id)
    if draft is None:
        raise not_found("draft")
    with process.databases.control() as control:
        being_sent = is_accepted(control, message_of(copy_id))
    return Saved(draft, parts.attachments(draft.content), being_sent)


def replace(
    process: Process[GatewaySettings], author: Account, copy_id: int, typed: Typed, matches: Matches, *, now: datetime
) -> Saved:
    """Save another version in a draft's place.

    Raises:
        Problem: there is no such draft, somebody saved another version, it was sent, or it cannot be saved as it is.
    """
    with process.databases.control() as control:
        (body_id,) = unused_ids(control, 1)
    with _locked(process, author, copy_id, matches) as (shard, draft):
        attachments = attachments_of(draft) if typed.attachments is None else typed.attachments
        answering = replace_fields(typed, in_reply_to=typed.in_reply_to or draft.fields.get("in_reply_to"))
        new = _composed(process, author, answering, attachments, body_id, now=now)
        drafts.replace(shard, author.id, draft, new, now=now)
        # still under the lock: later it could be what somebody else has saved since
        saved = drafts.find(shard, author.id, copy_id)
    if saved is None:
        raise AssertionError("a draft vanished inside its own transaction")
    return Saved(saved, parts.attachments(saved.content), being_sent=False)


def remove(process: Process[GatewaySettings], author: Account, copy_id: int, matches: Matches) -> None:
    """Throw a draft away.

    Raises:
        Problem: there is no such draft, somebody saved another version, or it was sent.
    """
    with _locked(process, author, copy_id, matches) as (shard, _):
        drafts.remove(shard, author.id, copy_id)


def send(
    process: Process[GatewaySettings],
    author: Account,
    copy_id: int,
    matches: Matches,
    *,
    delay: int | None,
    now: datetime,
) -> Outgoing:
    """Send a draft, as it is saved; the draft's id becomes the message's, so it is sent once.

    The draft stays locked until the message is durable, so that nobody saves what would be lost. It lies in Drafts
    until the delivery puts the Sent copy in its place.

    Args:
        process: the process.
        author: whose.
        copy_id: the draft.
        matches: tells whether the saved version is meant.
        delay: seconds until it goes out; None: as many as the account has chosen.
        now: the moment of acceptance (R3).

    Raises:
        Problem: there is no such draft, somebody saved another version, it was sent before, or it cannot be sent.
    """
    wait = sending.delay_of(process, author, delay)
    with _locked(process, author, copy_id, matches) as (_, draft):
        message = _message(draft)
        recipients = sending.resolve(process, message.addressees)
        content = sending.composed(process.settings, author, message, None, now=now)
        try:
            return sending.accepted(
                process, author, recipients, content, message_id=message_of(copy_id), delay=wait, now=now
            )
        except AlreadyAcceptedError:
            raise _being_sent() from None


@contextmanager
def _locked(
    process: Process[GatewaySettings], author: Account, copy_id: int, matches: Matches
) -> Iterator[tuple[Connection[Any], Draft]]:
    """Lock a draft that was not sent yet, in a transaction on its shard."""
    with residence.mailbox(process.databases, author) as shard:
        draft = drafts.lock(shard, author.id, copy_id) if is_author_copy(copy_id) else None
        if draft is None:
            raise not_found("draft")
        # looked up under the lock, which whoever sends holds until the message is accepted
        with process.databases.control() as control:
            if is_accepted(control, message_of(copy_id)):
                raise _being_sent()
        if not matches(draft.version):
            raise Problem(
                Code.VERSION_CONFLICT,
                "Another version was saved since; look at that one first.",
                headers={"ETag": etag(draft)},
            )
        yield shard, draft


def etag(draft: Draft) -> str:
    """Return the version as `ETag` and `If-Match` have it."""
    return f'"{draft.version}"'


def _being_sent() -> Problem:
    return Problem(Code.BEING_SENT, "The draft was sent; it can be neither changed nor sent again.")


def _composed(
    process: Process[GatewaySettings],
    author: Account,
    typed: Typed,
    attachments: Sequence[NewAttachment],
    body_id: int,
    *,
    now: datetime,
) -> Saving:
    addressees = {"to": list(typed.to), "cc": list(typed.cc), "bcc": list(typed.bcc)}
    written: dict[str, Any] = {"subject": typed.subject, "text": typed.text, "html": typed.html}
    if typed.in_reply_to:
        written["in_reply_to"] = typed.in_reply_to
    readable: dict[str, Any] = {
        name: [a for a in map(_address, texts) if a is not None] for name, texts in addressees.items()
    }
    message = NewMessage(**readable, **written, attachments=attachments)
    content = sending.composed(process.settings, author, message, None, now=now)
    return saving(addressees | written, content, body_id, now=now)


def saving(fields: Mapping[str, Any], content: bytes, body_id: int, *, now: datetime) -> Saving:
    """Return what the mail store has to know of a draft."""
    summary = summarise(content)
    listed = ListedMessage(
        accepted_at=now,
        size=len(content),
        from_header=summary.from_header,
        to_header=summary.to_header,
        subject=summary.subject,
        preview=summary.preview,
        attachments=summary.attachments,
    )
    return Saving(fields=fields, listed=listed, content=content, body_id=body_id)


def _message(draft: Draft) -> NewMessage:
    """Return the message that a draft has become.

    Raises:
        Problem: some of its addresses are none.
    """
    addresses: dict[str, list[Address]] = {}
    errors: list[FieldError] = []
    for name in ("to", "cc", "bcc"):
        addresses[name] = []
        for place, text in enumerate(draft.fields[name]):
            try:
                addresses[name].append(Address.parse(text))
            except AddressError as error:
                errors.append(FieldError(f"#/{name}/{place}", str(error)))
    if errors:
        raise Problem(Code.INVALID, "; ".join(error.detail for error in errors[:3]), errors)
    return NewMessage(
        to=addresses["to"],
        cc=addresses["cc"],
        bcc=addresses["bcc"],
        subject=draft.fields["subject"],
        text=draft.fields["text"],
        html=draft.fields["html"],
        in_reply_to=draft.fields.get("in_reply_to"),
        attachments=attachments_of(draft),
    )


def attachments_of(draft: Draft) -> list[NewAttachment]:
    """Return a draft's files."""
    found = parts.attachment_contents(draft.content)
    return [NewAttachment(attachment.filename, attachment.content_type, content) for attachment, content in found]


def _address(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except AddressError:
        return None
