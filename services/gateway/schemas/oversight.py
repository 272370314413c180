"""R26, R27: legal holds and the audit trail."""

from typing import Any, ClassVar

from marshmallow import Schema, fields

from services.gateway.describing import Example
from services.gateway.fields import Link, Number, Reason
from services.gateway.schemas.messages import RECALL_LINK

HOLD_LINK = "/api/v1/admin/accounts/{}/hold"
MOST_RECORDS = 200
HIGHEST_RECORD = 2**63 - 1


class TrailQuerySchema(Schema):
    """Which part of the audit trail is wanted; of one recall, if that is named."""

    recall = fields.UUID(load_default=None, allow_none=False)
    limit = Number(least=1, most=MOST_RECORDS, load_default=50)
    cursor = Number(least=1, most=HIGHEST_RECORD, load_default=None, allow_none=False)


class RecordSchema(Schema):
    """R27: one record: what happened, who did it, and its place in the chain."""

    EXAMPLE: ClassVar[Example] = {
        "number": 17,
        "at": "2026-03-02T09:31:00+00:00",
        "event": "recall_requested",
        "actor": "account",
        "account": "ada@lumen.example",
        "recall": "/api/v1/recalls/0195c1a4-7f4e-4c5e-9a51-3f6f0f3f9d10",
        "details": {"reason": "wrong figures", "as_administrator": False},
        "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    }

    number = fields.Integer(attribute="record.number")
    at = fields.DateTime(format="iso", attribute="record.at")
    event = fields.String(attribute="record.event")
    actor = fields.String(attribute="record.actor")
    account = fields.String(attribute="actor_address", allow_none=True)
    recall = Link(RECALL_LINK, attribute="recall")
    details = fields.Dict(keys=fields.String(), attribute="record.details")
    hash = fields.Method("hex_of_hash", metadata={"type": "string"})

    def hex_of_hash(self, shown: Any) -> str:
        """Return the hash as `mailrecall audit` prints it."""
        digest: bytes = shown.record.hash
        return digest.hex()


class TrailPageSchema(Schema):
    """Part of the audit trail."""

    EXAMPLE: ClassVar[Example] = {"records": [RecordSchema.EXAMPLE], "next_cursor": None}

    records = fields.List(fields.Nested(RecordSchema))
    next_cursor = fields.Integer(allow_none=True)


class NewHoldSchema(Schema):
    """Why an account is held."""

    EXAMPLE: ClassVar[Example] = {"reason": "case 7"}

    reason = Reason(required=True)


class HoldSchema(Schema):
    """R26: an account that is held."""

    EXAMPLE: ClassVar[Example] = {
        "address": "ada@lumen.example",
        "reason": "case 7",
        "placed_at": "2026-03-02T09:31:00+00:00",
        "link": "/api/v1/admin/accounts/ada@lumen.example/hold",
    }

    address = fields.String()
    reason = fields.String()
    placed_at = fields.DateTime(format="iso")
    link = Link(HOLD_LINK, attribute="address")


class HoldsSchema(Schema):
    """Everybody who is held."""

    EXAMPLE: ClassVar[Example] = {"holds": [HoldSchema.EXAMPLE]}

    holds = fields.List(fields.Nested(HoldSchema))
