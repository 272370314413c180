"""Answers that several subjects give."""

from typing import Any

from flask import jsonify, request
from werkzeug.wrappers import Response

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


def conditional(document: dict[str, Any]) -> Response:
    """Answer with a document, or with 304 where the request says that it knows it (RFC 9110 section 13)."""
    response = jsonify(document)
    response.add_etag()
    return response.make_conditional(request)


def written(saved: drafting.Saved) -> tuple[dict[str, Any], dict[str, str]]:
    """Answer with a draft and its version."""
    document: dict[str, Any] = _DRAFT.dump(saved)
    return document, {"ETag": drafting.etag(saved.draft)}
