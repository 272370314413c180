"""R27: what the audit trail records, how its records are chained, and how a broken chain is found.

A record's hash covers every field of it and the hash of the record before. Whoever changes, removes, inserts or
reorders records has to write the hashes of all that follow anew, and then the chain does not lead to a head that was
noted elsewhere any more.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

GENESIS = bytes(32)
"""What stands for the hash before a chain's first record."""


class Event(StrEnum):
    """What is recorded, a closed set. The names are part of the hashes: never rename one, only add."""

    RECALL_REQUESTED = "recall_requested"
    RECALL_REFUSED = "recall_refused"
    RECALL_REPEATED = "recall_repeated"
    """R12: what no shard had answered for is tried again."""
    APPROVAL_ASKED = "approval_asked"
    """R21: the recall waits for a second administrator."""
    APPROVAL_REFUSED = "approval_refused"
    """Somebody wanted to decide on what they had asked for themselves, or on what waited no longer."""
    RECALL_APPROVED = "recall_approved"
    RECALL_REJECTED = "recall_rejected"
    RECALL_LAPSED = "recall_lapsed"
    """R21: nobody approved it in time."""
    SHARDS_GIVEN_UP = "shards_given_up"
    """R9: the deadline came before the answer of every shard."""
    RECALL_SETTLED = "recall_settled"
    RECALL_CORRECTED = "recall_corrected"
    """A shard that had been given up answered after all."""
    UNDO_REQUESTED = "undo_requested"
    UNDO_REFUSED = "undo_refused"
    UNDO_FINISHED = "undo_finished"
    PURGED = "purged"
    """R26: what could have been restored is there no longer."""
    LEGAL_HOLD_PLACED = "legal_hold_placed"
    LEGAL_HOLD_LIFTED = "legal_hold_lifted"
    MAIL_RELEASED = "mail_released"
    """R30: a moderator's decisions."""
    MAIL_REJECTED = "mail_rejected"
    MAIL_CANCELLED = "mail_cancelled"
    """R30: recalled while it waited."""
    AUDIT_RULE_ADDED = "audit_rule_added"
    AUDIT_RULE_REMOVED = "audit_rule_removed"
    POLICY_CHANGED = "policy_changed"


class ActorKind(StrEnum):
    """Who did it."""

    ACCOUNT = "account"
    OPERATOR = "operator"
    """Somebody with the command line."""
    SYSTEM = "system"
    """Nobody: the course of things."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did what is recorded."""

    kind: ActorKind
    account_id: int | None = None

    def __post_init__(self) -> None:
        if (self.account_id is not None) != (self.kind is ActorKind.ACCOUNT):
            raise ValueError("An account, and nobody else, has an account's id.")

    @classmethod
    def account(cls, account_id: int) -> "Actor":
        """Return an account as an actor."""
        return cls(ActorKind.ACCOUNT, account_id)


OPERATOR = Actor(ActorKind.OPERATOR)
SYSTEM = Actor(ActorKind.SYSTEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is to be recorded.

    Details hold text, whole numbers, truth values, lists and objects of these, and no fractions. They never hold an
    address of somebody whose copy was recalled, nor that mailbox's id (R23).
    """

    organisation_id: int
    event: Event
    actor: Actor
    recall_id: int | None = None
    message_id: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One link of an organisation's chain."""

    organisation_id: int
    number: int
    at: datetime
    event: str
    actor: str
    account_id: int | None
    recall_id: int | None
    message_id: int | None
    details: Mapping[str, object]
    previous: bytes
    hash: bytes

    def as_json(self) -> dict[str, object]:
        """Return the fields that are hashed, as JSON has them."""
        return {
            "organisation": self.organisation_id,
            "number": self.number,
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "event": self.event,
            "actor": self.actor,
            "account": self.account_id,
            "recall": self.recall_id,
            "message": self.message_id,
            "details": self.details,
            "previous": self.previous.hex(),
        }

    def as_line(self) -> str:
        """Return the record as a line of an export: what is hashed, and the hash."""
        return _canonical({**self.as_json(), "hash": self.hash.hex()})


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: how many records it has, and the last one's hash."""

    records: int = 0
    hash: bytes = GENESIS


class Fault(StrEnum):
    """How a chain is broken."""

    MISSING = "missing"
    """Records before this one were removed, or their order was changed."""
    DETACHED = "detached"
    """It does not follow from the record before: one of the two was put in another's place."""
    ALTERED = "altered"
    """It is not what its hash was made of."""
    TRUNCATED = "truncated"
    """The chain ends elsewhere than it says."""


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain is broken: at the record that has this number, or should have it."""

    organisation_id: int
    number: int
    fault: Fault


def hash_of(record: Record) -> bytes:
    """Return what a record's hash has to be: SHA-256 of its canonical JSON (sorted keys, no blanks, ASCII)."""
    return hashlib.sha256(_canonical(record.as_json()).encode("ascii")).digest()


def chain(entry: Entry, after: Head, *, now: datetime) -> Record:
    """Return an entry as the record that follows a chain's head.

    Raises:
        TypeError: the details hold something else than they may.
    """
    _refuse_fractions(entry.details)
    record = Record(
        organisation_id=entry.organisation_id,
        number=after.records + 1,
        at=now,
        event=entry.event.value,
        actor=entry.actor.kind.value,
        account_id=entry.actor.account_id,
        recall_id=entry.recall_id,
        message_id=entry.message_id,
        details=entry.details,
        previous=after.hash,
        hash=b"",
    )
    return replace(record, hash=hash_of(record))


def find_break(record: Record, after: Head) -> Fault | None:
    """Tell how a record fails to follow the one before; None when it follows.

    Args:
        record: the next record that is there.
        after: the number and hash of the one before.
    """
    if record.number != after.records + 1:
        return Fault.MISSING
    if record.previous != after.hash:
        return Fault.DETACHED
    return None if hash_of(record) == record.hash else Fault.ALTERED


def _canonical(document: Mapping[str, object]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _refuse_fractions(value: object) -> None:
    """A fraction has many spellings, and a hash knows one: whole numbers come back from a database as they went in."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            if not isinstance(name, str):
                raise TypeError(f"The name of a detail is text; got {type(name).__name__}.")
            _refuse_fractions(below)
    elif isinstance(value, list | tuple):
        for below in value:
            _refuse_fractions(below)
    elif value is not None and not isinstance(value, str | int):
        raise TypeError(f"An audit record cannot hold {type(value).__name__}.")
