"""Telling a sender that a message, once accepted, cannot reach everyone after all."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from psycopg import Connection

from mailrecall import logs
from mailrecall.directory import lookup
from mailrecall.domain.addresses import Address, AddressError
from mailrecall.domain.recalls import Channel
from mailrecall.messages.acceptance import EnvelopeRecipient, Incoming, accept
from mailrecall.mime.bounce import Undelivered, bounce
from mailrecall.mime.summary import summarise
from mailrecall.postgres import queries

log = logs.get(__name__)

_SQL = queries.load(__package__, "relaying.sql")


def bounce_for(
    connection: Connection[Any], message_id: int, failures: Mapping[str, str], *, now: datetime, hostname: str
) -> int | None:
    """Accept a bounce to a message's sender, in the transaction that records the failures, so exactly as often.

    Args:
        connection: to the control database.
        message_id: the message that failed.
        failures: for each address what was said of it, such as `550 5.1.1 The mailbox was closed`.
        now: the present moment.
        hostname: the host that reports.

    Returns:
        the bounce's message id; None when there is nobody to tell: a null reverse-path (RFC 5321 section 6.1), no
        address, a mailbox that is closed or never was, or a group, which must not be told what one member wrote.
    """
    row = connection.execute(_SQL["message_to_bounce"], {"message_id": message_id}).fetchone()
    if row is None or not row[0] or not failures:
        return None
    sender, arrived_at, beginning = row
    bounce_id = bounce_to(
        connection,
        sender,
        failures,
        beginning=bytes(beginning or b""),
        arrived_at=arrived_at,
        now=now,
        hostname=hostname,
    )
    log.info("bounce.decided", message_id=message_id, bounce_id=bounce_id, failures=len(failures))
    return bounce_id


def bounce_to(
    connection: Connection[Any],
    sender: str,
    failures: Mapping[str, str],
    *,
    beginning: bytes,
    arrived_at: datetime,
    now: datetime,
    hostname: str,
) -> int | None:
    """Accept a bounce to an address.

    Args:
        connection: to the control database.
        sender: who is told.
        failures: for each address what was said of it.
        beginning: of the message that failed: its header fields are returned.
        arrived_at: when that message came in.
        now: the present moment.
        hostname: the host that reports.

    Returns:
        the bounce's message id; None when there is nobody to tell.
    """
    found = _reachable(connection, sender)
    if found is None:
        return None
    recipient, language = found
    undelivered = Undelivered(
        sender=sender, content=beginning, failures=failures, arrived_at=arrived_at, language=language
    )
    content = bounce(undelivered, now=now, hostname=hostname)
    incoming = Incoming(
        author=None,
        envelope_sender="",
        channel=Channel.SYSTEM,
        content=content,
        summary=summarise(content),
        recipients=[recipient],
    )
    return accept(connection, incoming, now=now)


def _reachable(connection: Connection[Any], sender: str) -> tuple[EnvelopeRecipient, Literal["en", "zh"]] | None:
    try:
        address = Address.parse(sender)
    except AddressError:
        return None
    resolution = lookup.resolve(connection, [address])[address]
    if resolution.kind == "external":
        return EnvelopeRecipient(sender, "external"), "en"
    if resolution.kind != "account" or resolution.account_id is None:
        return None
    account = lookup.account_by_id(connection, resolution.account_id)
    return EnvelopeRecipient(str(address), "account", resolution.account_id), account.language if account else "en"
