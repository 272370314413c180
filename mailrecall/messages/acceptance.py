"""Acceptance: from here on the message is ours. Message, envelope, content and outbox row are one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import Connection

from mailrecall.domain.recalls import Channel
from mailrecall.messages import sending
from mailrecall.messages.holding import hold_if_ruled
from mailrecall.metrics import instruments
from mailrecall.mime.summary import Summary
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "messages.sql")

RecipientKind = Literal["account", "group", "external"]


@dataclass(frozen=True, slots=True)
class EnvelopeRecipient:
    """One address of the envelope, resolved."""

    address: str
    kind: RecipientKind
    account_id: int | None = None
    group_id: int | None = None


@dataclass(frozen=True, slots=True)
class Author:
    """The account a message was written by, with the shard its own copy belongs to."""

    account_id: int
    organisation_id: int
    shard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A message about to be accepted."""

    author: Author | None
    """None for mail from outside and from the system."""
    envelope_sender: str
    """Empty for mail that must never bounce (RFC 5321 section 4.5.5)."""
    channel: Channel
    content: bytes
    summary: Summary
    recipients: Sequence[EnvelopeRecipient]
    file_author_copy: bool = False
    """Whether the author's Sent folder gets a copy (R15)."""
    id: int | None = None
    """An even id that the message has had as a draft (R28); None: it gets one."""
    sends_at: datetime | None = None
    """R28: when it goes out; until then its author can take it back. None: at once, for good."""


class AlreadyAcceptedError(Exception):
    """R28: a message of that id was accepted before: the draft was sent."""


def accept(connection: Connection[Any], incoming: Incoming, *, now: datetime) -> int:
    """Write a message into the caller's transaction; once that commits it will be delivered, unless a rule holds it.

    Returns:
        the message's id.

    Raises:
        AlreadyAcceptedError: the given id is that of an accepted message; nothing was written then.
    """
    files_copy = incoming.file_author_copy and incoming.author is not None
    row = connection.execute(
        _SQL["insert_message"],
        {
            "id": incoming.id,
            "organisation_id": incoming.author.organisation_id if incoming.author else None,
            "sender_account_id": incoming.author.account_id if incoming.author else None,
            "envelope_sender": incoming.envelope_sender,
            "channel": incoming.channel,
            "accepted_at": now,
            "size": len(incoming.content),
            "header_message_id": incoming.summary.header_message_id,
            "from_header": incoming.summary.from_header,
            "to_header": incoming.summary.to_header,
            "subject": incoming.summary.subject,
            "preview": incoming.summary.preview,
            "attachments": incoming.summary.attachments,
            # expansion itself is one of the deliveries that must be done before the content can go
            "deliveries_left": 1 + files_copy,
        },
    ).fetchone()
    if row is None:
        raise AlreadyAcceptedError
    message_id: int = row[0]
    # in a transaction that may yet be rolled back, which is rare, and a count is no ledger
    instruments.message_accepted(incoming.channel.value)
    connection.execute(_SQL["insert_content"], {"message_id": message_id, "content": incoming.content})
    _insert_envelope(connection, message_id, incoming.recipients)
    held = incoming.author is not None and hold_if_ruled(
        connection,
        message_id,
        incoming.content,
        organisation_id=incoming.author.organisation_id,
        sender_account_id=incoming.author.account_id,
        now=now,
    )
    # R30: a held message waits for a moderator before anything else; its author's copy says that it was sent
    todo = [] if held else [work.expand(message_id)]
    if files_copy and incoming.author is not None:
        todo.append(work.file_author_copy(message_id, incoming.author.shard))
    if incoming.sends_at is None:
        outbox.add(connection, todo, due_at=now)
    else:
        sending.schedule(connection, message_id, todo, due_at=incoming.sends_at)
    return message_id


def is_accepted(connection: Connection[Any], message_id: int) -> bool:
    """Tell whether a message of that id was accepted: a draft is being sent, or was."""
    row = connection.execute(_SQL["is_accepted"], {"message_id": message_id}).fetchone()
    return bool(row and row[0])


def _insert_envelope(connection: Connection[Any], message_id: int, recipients: Sequence[EnvelopeRecipient]) -> None:
    unique: dict[str, EnvelopeRecipient] = {}
    for recipient in recipients:
        unique.setdefault(recipient.address, recipient)
    with connection.cursor() as cursor, cursor.copy(_SQL["copy_envelope"]) as copy:
        for position, recipient in enumerate(unique.values(), start=1):
            copy.write_row(
                (message_id, position, recipient.address, recipient.account_id, recipient.group_id, recipient.kind)
            )
