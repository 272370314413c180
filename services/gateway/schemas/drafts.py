"""R28: drafts."""

from typing import ClassVar

from marshmallow import Schema, fields, validate

from services.gateway.describing import Example
from services.gateway.fields import Line, Link, Text
from services.gateway.schemas.messages import AttachmentSchema
from services.gateway.schemas.sending import AttachmentList, NewAttachmentSchema

DRAFT_LINK = "/api/v1/drafts/{}"

LONGEST_TYPED = 1_000
"""Characters of what may become an address."""
MOST_TYPED = 10_000


def _typed() -> fields.List[str]:
    return fields.List(
        Line(validate=validate.Length(max=LONGEST_TYPED)), load_default=(), validate=validate.Length(max=MOST_TYPED)
    )


class TypedSchema(Schema):
    """What somebody has typed so far: addresses may still be none. Without `attachments` those that are there stay."""

    EXAMPLE: ClassVar[Example] = {"to": ["bob@exam"], "subject": "Figures"}

    to = _typed()
    cc = _typed()
    bcc = _typed()
    subject = Line(load_default="")
    text = Text(load_default="")
    html = Text(load_default=None)
    attachments = AttachmentList(fields.Nested(NewAttachmentSchema), load_default=None, allow_none=False)


class DraftSchema(Schema):
    """A draft as it is saved."""

    EXAMPLE: ClassVar[Example] = {
        "id": 71,
        "to": ["bob@exam"],
        "cc": [],
        "bcc": [],
        "subject": "Figures",
        "text": "",
        "html": None,
        "attachments": [],
        "saved_at": "2026-03-02T09:30:00+00:00",
        "being_sent": False,
        "link": "/api/v1/drafts/71",
    }

    id = fields.Integer(attribute="draft.copy_id")
    to = fields.List(fields.String(), attribute="draft.fields.to")
    cc = fields.List(fields.String(), attribute="draft.fields.cc")
    bcc = fields.List(fields.String(), attribute="draft.fields.bcc")
    subject = fields.String(attribute="draft.fields.subject")
    text = fields.String(attribute="draft.fields.text")
    html = fields.String(attribute="draft.fields.html", allow_none=True)
    attachments = fields.List(fields.Nested(AttachmentSchema))
    saved_at = fields.DateTime(format="iso", attribute="draft.saved_at")
    being_sent = fields.Boolean()
    link = Link(DRAFT_LINK, attribute="draft.copy_id")
