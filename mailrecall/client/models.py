"""What the API answers, typed. What a later version of the gateway says besides is left alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


@dataclass(frozen=True, slots=True)
class Group:
    """A group that the message names, with the outcomes of the members that it led to."""

    address: str
    outcomes: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """A recall as it stands: counts by outcome (R9), never addresses of people."""

    id: str
    message_id: int
    subject: str
    reason: str
    state: str
    """`accepted`, `running` or `settled`, or what a later version calls it."""
    result: str | None
    requested_at: datetime
    settled_at: datetime | None
    recipients: int
    done: int
    outcomes: Mapping[str, int]
    groups: Sequence[Group]

    @property
    def settled(self) -> bool:
        """Whether it is over."""
        return self.state == "settled"

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read what the API says of one."""
        return cls(
            id=document["id"],
            message_id=document["message_id"],
            subject=document["subject"],
            reason=document["reason"],
            state=document["state"],
            result=document["result"],
            requested_at=datetime.fromisoformat(document["requested_at"]),
            settled_at=_time(document["settled_at"]),
            recipients=document["recipients"],
            done=document["done"],
            outcomes=document["outcomes"],
            groups=[Group(group["address"], group["outcomes"]) for group in document["groups"]],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallSummary:
    """A recall in a list."""

    id: str
    message_id: int
    subject: str
    reason: str
    state: str
    result: str | None
    requested_at: datetime

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read what the API says of one."""
        return cls(
            id=document["id"],
            message_id=document["message_id"],
            subject=document["subject"],
            reason=document["reason"],
            state=document["state"],
            result=document["result"],
            requested_at=datetime.fromisoformat(document["requested_at"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """R25: what a recall would come to now."""

    message_id: int
    subject: str
    closes_at: datetime
    recipients: int
    recallable: int
    complete: bool
    """Whether all databases answered in time; if not, there may be more to recall."""
    needs_approval: bool
    outcomes: Mapping[str, int]
    groups: Sequence[Group]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read what the API says."""
        return cls(
            message_id=document["message_id"],
            subject=document["subject"],
            closes_at=datetime.fromisoformat(document["closes_at"]),
            recipients=document["recipients"],
            recallable=document["recallable"],
            complete=document["complete"],
            needs_approval=document["needs_approval"],
            outcomes=document["outcomes"],
            groups=[Group(group["address"], group["outcomes"]) for group in document["groups"]],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A personal token; `secret` is known only when it is made."""

    id: int
    name: str
    scopes: Sequence[str]
    expires_at: datetime
    last_used_at: datetime | None = None
    secret: str | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read what the API says of one."""
        return cls(
            id=document["id"],
            name=document["name"],
            scopes=document["scopes"],
            expires_at=datetime.fromisoformat(document["expires_at"]),
            last_used_at=_time(document.get("last_used_at")),
            secret=document.get("token"),
        )
