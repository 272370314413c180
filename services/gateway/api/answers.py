"""Answers that several subjects give."""

from typing import Any

from services.gateway import drafting
from services.gateway.schemas.drafts import DraftSchema
from services.gateway.schemas.sending import SentSchema
from services.gateway.sending import Outgoing

_SENT = SentSchema()
_DRAFT = DraftSchema()


def sent(outgoing: Outgoing) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Answer that a message was accepted."""
    document: dict[str, Any] = _SENT.dump(outgoing)
    return document, 202, {"Location": document["link"]}


def written(saved: drafting.Saved) -> tuple[dict[str, Any], dict[str, str]]:
    """Answer with a draft and its version."""
    document: dict[str, Any] = _DRAFT.dump(saved)
    return document, {"ETag": drafting.etag(saved.draft)}
