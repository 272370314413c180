"""Answers that several subjects give."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailrecall.domain.copies import author_copy_id
from services.gateway.schemas.sending import SentSchema

_SENT = SentSchema()


@dataclass(frozen=True, slots=True)
class _Sent:
    copy_id: int
    accepted_at: datetime


def sent(message_id: int, accepted_at: datetime) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Answer that a message was accepted."""
    document: dict[str, Any] = _SENT.dump(_Sent(author_copy_id(message_id), accepted_at))
    return document, 202, {"Location": document["link"]}
