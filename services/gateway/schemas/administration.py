"""R19 to R21: the administrators' console."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, post_load

from mailrecall.domain.moments import MomentError, read_moment, read_zone
from mailrecall.domain.recalls import Refusal
from mailrecall.recalls.search import Criteria
from services.gateway.describing import Example
from services.gateway.fields import Link, MailAddress, Name, Number, PlaceCursor, TrueFalse
from services.gateway.schemas.messages import MarkSchema

PREVIEW_LINK = "/api/v1/messages/{}/recall-preview"
MOST_FOUND = 100


class SearchQuerySchema(Schema):
    """R20: what is looked for, and which part of it is wanted."""

    subject = Name(load_default=None, allow_none=False)
    sender = MailAddress(load_default=None, allow_none=False)
    recipient = MailAddress(load_default=None, allow_none=False)
    since = Name(load_default=None, allow_none=False)
    until = Name(load_default=None, allow_none=False)
    zone = Name(load_default=None, allow_none=False)
    only_unread = TrueFalse(load_default=False)
    limit = Number(least=1, most=MOST_FOUND, load_default=25)
    cursor = PlaceCursor(load_default=None, allow_none=False)

    @post_load
    def criteria(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Read the times in their zone."""
        zone = _read("zone", read_zone, data["zone"]) if data["zone"] else None
        since = _read("since", lambda text: read_moment(text, zone), data["since"]) if data["since"] else None
        until = _read("until", lambda text: read_moment(text, zone, end=True), data["until"]) if data["until"] else None
        named = {name: data[name] for name in ("subject", "sender", "recipient", "only_unread")}
        return {
            "criteria": Criteria(**named, since=since, until=until),
            "limit": data["limit"],
            "cursor": data["cursor"],
        }


def _read(name: str, reader: Any, text: str) -> Any:
    try:
        return reader(text)
    except MomentError as error:
        raise ValidationError({name: [str(error)]}) from None


class CountsSchema(Schema):
    """R20: how many copies a recall would take, of how many."""

    EXAMPLE: ClassVar[Example] = {"recallable": 96, "total": 120, "external": 3, "unanswered": 0}

    recallable = fields.Integer()
    total = fields.Integer(attribute="recipients")
    external = fields.Integer()
    unanswered = fields.Integer(attribute="unknown")


class HitSchema(Schema):
    """A message that was found. R23: once it was recalled, `to` and `counts` are null."""

    EXAMPLE: ClassVar[Example] = {
        "id": 64,
        "accepted_at": "2026-03-02T09:30:00+00:00",
        "closes_at": "2026-03-09T09:30:00+00:00",
        "from": "Ada Lund <ada@lumen.example>",
        "to": "aurora@lumen.example",
        "subject": "Figures",
        "attachment_count": 1,
        "size": 20480,
        "held": False,
        "recipients": 120,
        "counts": CountsSchema.EXAMPLE,
        "refusal": None,
        "recall": None,
        "preview": "/api/v1/messages/64/recall-preview",
    }

    id = fields.Integer(attribute="found.message.id")
    accepted_at = fields.DateTime(format="iso", attribute="found.message.accepted_at")
    closes_at = fields.DateTime(format="iso")
    from_ = fields.String(attribute="found.message.from_header", data_key="from")
    to = fields.String(attribute="found.to_header", allow_none=True)
    subject = fields.String(attribute="found.message.subject")
    attachment_count = fields.Integer(attribute="found.message.attachments")
    size = fields.Integer(attribute="found.message.size")
    held = fields.Boolean(attribute="found.message.held")
    recipients = fields.Integer(attribute="found.recipients")
    counts = fields.Nested(CountsSchema, attribute="found.preview", allow_none=True)
    refusal = fields.Enum(Refusal, by_value=True, allow_none=True)
    recall = fields.Nested(MarkSchema, attribute="found.recall", allow_none=True)
    preview = Link(PREVIEW_LINK, attribute="found.message.id")


class HitPageSchema(Schema):
    """Part of what was found."""

    EXAMPLE: ClassVar[Example] = {"messages": [HitSchema.EXAMPLE], "next_cursor": None}

    messages = fields.List(fields.Nested(HitSchema))
    next_cursor = PlaceCursor(allow_none=True)
