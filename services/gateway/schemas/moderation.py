"""R30: audit rules and held mail."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validates_schema

from mailrecall.domain.audit import LARGEST_GROUP
from mailrecall.mailstore.reading import HIGHEST_ID
from services.gateway.describing import Example
from services.gateway.fields import Link, Name, Number, Reason, TrueFalse
from services.gateway.schemas.messages import MOST_LISTED, AttachmentSchema

HELD_LINK = "/api/v1/held/{}"
RULE_LINK = "/api/v1/audit-rules/{}"


_NAMED = ("group_size", "sender", "keyword")


class NewRuleSchema(Schema):
    """A rule to be added; a message meets it that meets all that it names."""

    EXAMPLE: ClassVar[Example] = {"name": "Contracts", "keyword": "contract"}

    DOCUMENT: ClassVar[Example] = {
        "anyOf": [
            *({"required": [field], "properties": {field: {"not": {"type": "null"}}}} for field in _NAMED),
            {"required": ["external"], "properties": {"external": {"const": True}}},
        ]
    }

    name = Name(required=True)
    group_size = Number(least=1, most=LARGEST_GROUP, load_default=None)
    sender = Name(load_default=None)
    keyword = Name(load_default=None)
    external = TrueFalse(load_default=False, allow_none=False)

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:
        """A rule that names nothing would hold everything."""
        if not any(data.get(name) for name in ("group_size", "sender", "keyword", "external")):
            raise ValidationError("Name at least one of group_size, sender, keyword and external.")


class RuleSchema(Schema):
    """A rule."""

    EXAMPLE: ClassVar[Example] = {
        "id": 3,
        "name": "Contracts",
        "group_size": None,
        "sender": None,
        "keyword": "contract",
        "external": False,
        "link": "/api/v1/audit-rules/3",
    }

    id = fields.Integer()
    name = fields.String()
    group_size = fields.Integer(attribute="criteria.group_size", allow_none=True)
    sender = fields.String(attribute="criteria.sender", allow_none=True)
    keyword = fields.String(attribute="criteria.keyword", allow_none=True)
    external = fields.Boolean(attribute="criteria.external")
    link = Link(RULE_LINK, attribute="id")


class RulesSchema(Schema):
    """All rules of an organisation."""

    EXAMPLE: ClassVar[Example] = {"rules": [RuleSchema.EXAMPLE]}

    rules = fields.List(fields.Nested(RuleSchema))


class HeldPageQuerySchema(Schema):
    """Which part of the held mail is wanted."""

    limit = Number(least=1, most=MOST_LISTED, load_default=50)
    cursor = Number(least=1, most=HIGHEST_ID, load_default=None, allow_none=False)


class HeldSchema(Schema):
    """A message that waits, in a list."""

    EXAMPLE: ClassVar[Example] = {
        "id": 64,
        "rule": "Contracts",
        "held_at": "2026-03-02T09:30:00+00:00",
        "accepted_at": "2026-03-02T09:30:00+00:00",
        "from": "Ada Lund <ada@lumen.example>",
        "to": "aurora@lumen.example",
        "subject": "The contract",
        "preview": "Here it is.",
        "attachment_count": 0,
        "size": 2048,
        "link": "/api/v1/held/64",
    }

    id = fields.Integer(attribute="message_id")
    rule = fields.String()
    held_at = fields.DateTime(format="iso")
    accepted_at = fields.DateTime(format="iso")
    from_ = fields.String(attribute="from_header", data_key="from")
    to = fields.String(attribute="to_header")
    subject = fields.String()
    preview = fields.String()
    attachment_count = fields.Integer(attribute="attachments")
    size = fields.Integer()
    link = Link(HELD_LINK, attribute="message_id")


class HeldPageSchema(Schema):
    """Part of the held mail."""

    EXAMPLE: ClassVar[Example] = {"messages": [HeldSchema.EXAMPLE], "next_cursor": None}

    messages = fields.List(fields.Nested(HeldSchema))
    next_cursor = fields.Integer(allow_none=True)


class HeldContentSchema(Schema):
    """What a moderator reads of a message besides. The HTML is the sender's: not yet safe to show."""

    EXAMPLE: ClassVar[Example] = {
        "recipients": ["aurora@lumen.example"],
        "cc": "",
        "text": "Here it is.",
        "html": None,
        "attachments": [],
    }

    recipients = fields.List(fields.String())
    cc = fields.String(attribute="readable.cc_header")
    text = fields.String(attribute="readable.text", allow_none=True)
    html = fields.String(attribute="readable.html", allow_none=True)
    attachments = fields.List(fields.Nested(AttachmentSchema))


class RejectionSchema(Schema):
    """Why a message is not delivered; its sender reads this."""

    EXAMPLE: ClassVar[Example] = {"reason": "Not before Monday."}

    reason = Reason(required=True)
