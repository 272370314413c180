"""R21: recalls of many messages at once."""

from typing import ClassVar

from marshmallow import Schema, fields
from marshmallow.validate import Length

from mailrecall.mailstore.reading import HIGHEST_ID
from mailrecall.recalls.batches import MOST_MESSAGES
from services.gateway.describing import Example
from services.gateway.fields import Link, Number, Outcomes, Reason, TrueFalse
from services.gateway.schemas.messages import MOST_LISTED, RECALL_LINK

BATCH_LINK = "/api/v1/admin/recall-batches/{}"


class NewBatchSchema(Schema):
    """A request for up to 1,000 messages."""

    EXAMPLE: ClassVar[Example] = {"message_ids": [64, 66], "reason": "sent by mistake", "only_unread": False}

    message_ids = fields.List(
        Number(least=1, most=HIGHEST_ID), required=True, validate=Length(min=1, max=MOST_MESSAGES)
    )
    reason = Reason(required=True)
    only_unread = TrueFalse(load_default=False)


class ItemRecallSchema(Schema):
    """The recall of one message of a request."""

    EXAMPLE: ClassVar[Example] = {
        "id": "0195c1a4-7f4e-4c5e-9a51-3f6f0f3f9d10",
        "state": "accepted",
        "result": None,
        "link": "/api/v1/recalls/0195c1a4-7f4e-4c5e-9a51-3f6f0f3f9d10",
    }

    id = fields.UUID(attribute="recall")
    state = fields.String()
    result = fields.String(allow_none=True)
    link = Link(RECALL_LINK, attribute="recall")


class ItemSchema(Schema):
    """What became of one message: refused, or with a recall, or neither yet."""

    EXAMPLE: ClassVar[Example] = {
        "message_id": 64,
        "subject": "Figures",
        "refusal": None,
        "closed_at": None,
        "recall": ItemRecallSchema.EXAMPLE,
    }

    message_id = fields.Integer()
    subject = fields.String(allow_none=True)
    refusal = fields.String(allow_none=True)
    closed_at = fields.DateTime(format="iso", allow_none=True)
    recall = fields.Nested(ItemRecallSchema, attribute="recalled", allow_none=True)


class BatchProgressSchema(Schema):
    """R22: how far all recalls of a request have got: counts, never addresses (R23)."""

    EXAMPLE: ClassVar[Example] = {
        "messages": 2,
        "accepted": 2,
        "refused": 0,
        "waiting": 0,
        "settled": 2,
        "results": {"succeeded": 1, "partial": 1, "failed": 0},
        "recipients": 240,
        "done": 240,
        "outcomes": {"recalled": 216, "already_read": 24},
    }

    messages = fields.Integer()
    accepted = fields.Integer()
    refused = fields.Integer()
    waiting = fields.Integer()
    settled = fields.Integer()
    results = fields.Dict(keys=fields.String(), values=fields.Integer())
    recipients = fields.Integer()
    done = fields.Integer()
    outcomes = Outcomes(attribute="tally")


class ApprovalSchema(Schema):
    """R21: what a second administrator has to decide, or has decided."""

    EXAMPLE: ClassVar[Example] = {
        "state": "approved",
        "lapses_at": "2026-03-05T09:31:00+00:00",
        "decided_at": "2026-03-02T10:02:00+00:00",
        "decided_by": "postmaster@lumen.example",
    }

    state = fields.String(attribute="approval")
    lapses_at = fields.DateTime(format="iso")
    decided_at = fields.DateTime(format="iso", allow_none=True)
    decided_by = fields.String(allow_none=True)


class BatchSchema(Schema):
    """A request for many recalls, as it stands."""

    EXAMPLE: ClassVar[Example] = {
        "id": "0195c1a4-9d20-4b6c-8a41-6d0a3f9d1077",
        "state": "settled",
        "asked_by": "ada@lumen.example",
        "reason": "sent by mistake",
        "only_unread": False,
        "requested_at": "2026-03-02T09:31:00+00:00",
        "copies": 240,
        "approval": ApprovalSchema.EXAMPLE,
        "progress": BatchProgressSchema.EXAMPLE,
        "link": "/api/v1/admin/recall-batches/0195c1a4-9d20-4b6c-8a41-6d0a3f9d1077",
    }

    id = fields.UUID(attribute="batch.public_id")
    state = fields.String()
    asked_by = fields.String(attribute="batch.asked_by")
    reason = fields.String(attribute="batch.reason")
    only_unread = fields.Boolean(attribute="batch.only_unread")
    requested_at = fields.DateTime(format="iso", attribute="batch.requested_at")
    copies = fields.Integer(attribute="batch.copies")
    approval = fields.Nested(ApprovalSchema, attribute="batch.awaited", allow_none=True)
    progress = fields.Nested(BatchProgressSchema)
    link = Link(BATCH_LINK, attribute="batch.public_id")


class AskedBatchSchema(BatchSchema):
    """A request that was just made, with what became of each message."""

    EXAMPLE: ClassVar[Example] = {**BatchSchema.EXAMPLE, "messages": [ItemSchema.EXAMPLE]}

    messages = fields.List(fields.Nested(ItemSchema))


class BatchPageQuerySchema(Schema):
    """Which part is wanted."""

    limit = Number(least=1, most=MOST_LISTED, load_default=50)
    cursor = Number(least=1, most=HIGHEST_ID, load_default=None, allow_none=False)


class BatchPageSchema(Schema):
    """Part of an organisation's requests, newest first."""

    EXAMPLE: ClassVar[Example] = {"batches": [BatchSchema.EXAMPLE], "next_cursor": None}

    batches = fields.List(fields.Nested(BatchSchema))
    next_cursor = fields.Integer(allow_none=True)


class ItemPageSchema(Schema):
    """Part of a request's messages."""

    EXAMPLE: ClassVar[Example] = {"messages": [ItemSchema.EXAMPLE], "next_cursor": None}

    messages = fields.List(fields.Nested(ItemSchema))
    next_cursor = fields.Integer(allow_none=True)
