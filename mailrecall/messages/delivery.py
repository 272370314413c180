"""How far a message's delivery has got: what is still to be deposited, filed or relayed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Verdict
from mailrecall.mailstore.deposit import ListedMessage
from mailrecall.messages.counting import deliveries_done
from mailrecall.messages.forwards import plan_forwards
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "messages.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryBatch:
    """One range of a shard's mailboxes that a message goes to, with what the shard must know of the message."""

    shard: int
    mailbox_ids: Sequence[int]
    """Who is to get a copy now: nobody whose account closed, and after a recall only those out of its scope."""
    via: Sequence[int]
    deposited: bool
    recall_id: int | None
    """The recall that came before the deposit (R16)."""
    released: bool
    """R13: that recall left everything as it was: the deposit is one like any other."""
    undecided: bool
    """R13: whether that recall takes everything or nothing is not known yet: the deposit has to wait."""
    envelope_sender: str
    listed: ListedMessage


@dataclass(frozen=True, slots=True)
class AuthorCopy:
    """The author's own copy, still to be filed or already so."""

    mailbox_id: int
    filed: bool
    listed: ListedMessage


def lock_batch_to_deposit(connection: Connection[Any], message_id: int, batch: int) -> DeliveryBatch | None:
    """Return a batch with its recipients, or None when there is no such batch.

    No recall of the message is accepted until the caller's transaction ends: whoever commits a deposit before that
    knows that it was not recalled first (R16).
    """
    keys = {"message_id": message_id, "batch": batch}
    connection.execute(_SQL["hold_off_recalls"], keys)
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["batch_to_deposit"], keys).fetchone()
    if row is None:
        return None
    stored, closed, verdict = row.pop("policy"), set(row.pop("closed") or ()), row.pop("verdict")
    policy = Policy.from_mapping(stored) if stored is not None else None
    released = verdict == Verdict.RELEASE
    furthest = policy.furthest_in_scope if policy is not None and not released else None
    mailbox_ids, via, kinship = row.pop("mailbox_ids"), row.pop("via"), row.pop("kinship")
    if closed or furthest is not None:
        every = zip(mailbox_ids, via, kinship or (0,) * len(via), strict=True)
        left = [(m, v) for m, v, k in every if m not in closed and (furthest is None or k > furthest)]
        mailbox_ids, via = [m for m, _ in left], [v for _, v in left]
    return DeliveryBatch(
        shard=row.pop("shard"),
        mailbox_ids=mailbox_ids,
        via=via,
        deposited=row.pop("deposited"),
        recall_id=row.pop("recall_id"),
        released=released,
        undecided=policy is not None and policy.all_or_nothing and verdict is None,
        envelope_sender=row.pop("envelope_sender"),
        listed=ListedMessage(**row),
    )


def author_copy(connection: Connection[Any], message_id: int) -> AuthorCopy | None:
    """Return the author's copy of a message, or None when it has no author here."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["message_to_file"], {"message_id": message_id}).fetchone()
    if row is None or row["sender_account_id"] is None:
        return None
    return AuthorCopy(row.pop("sender_account_id"), row.pop("filed"), ListedMessage(**row))


def content(connection: Connection[Any], message_id: int) -> bytes | None:
    """Return a message's bytes while some delivery still needs them; None after the last."""
    row = connection.execute(_SQL["content"], {"message_id": message_id}).fetchone()
    return bytes(row[0]) if row else None


def record_deposit(
    connection: Connection[Any], message_id: int, batch: int, *, forwards: Sequence[tuple[int, str]] = (), now: datetime
) -> None:
    """Record a batch as deposited; a second time changes nothing.

    Args:
        connection: to the control database.
        message_id: the message.
        batch: the delivery batch's number.
        forwards: R4: the accounts whose copies their rules pass on, and where to; accepted from here on, once.
        now: the present moment.
    """
    if connection.execute(_SQL["batch_deposited"], {"message_id": message_id, "batch": batch, "now": now}).rowcount:
        plan_forwards(connection, message_id, forwards, now=now)
        deliveries_done(connection, message_id, done=1, now=now)


def record_author_copy(connection: Connection[Any], message_id: int, *, now: datetime) -> None:
    """Record the author's copy as filed; a second time changes nothing."""
    if connection.execute(_SQL["author_copy_filed"], {"message_id": message_id, "now": now}).rowcount:
        deliveries_done(connection, message_id, done=1, now=now)


def record_relay(connection: Connection[Any], message_id: int, *, now: datetime) -> None:
    """Record that every external recipient was dealt with; a second time changes nothing."""
    if connection.execute(_SQL["relayed"], {"message_id": message_id, "now": now}).rowcount:
        deliveries_done(connection, message_id, done=1, now=now)
