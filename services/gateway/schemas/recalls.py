"""Recalls."""

from marshmallow import Schema, fields

from mailrecall.domain.recalls import Result, State
from mailrecall.mailstore.reading import HIGHEST_ID
from services.gateway.fields import Link, Number, OutcomeName, Outcomes, Reason
from services.gateway.schemas.messages import MESSAGE_LINK, RECALL_LINK


class AskingSchema(Schema):
    """A request for a recall; the message by the id that the Sent folder shows."""

    message_id = Number(least=1, most=HIGHEST_ID, required=True)
    reason = Reason(required=True)


class GroupSchema(Schema):
    """A group that the sender named, with what became of its members' copies."""

    address = fields.String()
    done = fields.Integer()
    outcomes = Outcomes(attribute="tally")


class ProgressSchema(Schema):
    """A recall as it stands: counts, never addresses of people (R23)."""

    id = fields.UUID(attribute="recall.public_id")
    message_id = fields.Integer(attribute="author_copy_id")
    subject = fields.String(attribute="recall.subject")
    reason = fields.String(attribute="recall.reason")
    as_administrator = fields.Boolean(attribute="recall.as_administrator")
    requested_at = fields.DateTime(format="iso", attribute="recall.requested_at")
    deadline_at = fields.DateTime(format="iso", attribute="recall.deadline_at")
    state = fields.Enum(State, by_value=True, attribute="recall.state")
    result = fields.Enum(Result, by_value=True, attribute="recall.result", allow_none=True)
    settled_at = fields.DateTime(format="iso", attribute="recall.settled_at", allow_none=True)
    recipients = fields.Integer(attribute="recall.recipients")
    done = fields.Integer()
    outcomes = Outcomes(attribute="recall.tally")
    directly = Outcomes(attribute="direct")
    groups = fields.List(fields.Nested(GroupSchema))
    report = Link(MESSAGE_LINK, attribute="report_copy_id")
    link = Link(RECALL_LINK, attribute="recall.public_id")


class AddresseeSchema(Schema):
    """Somebody whom the sender named directly, with what became of their copy if that is known."""

    address = fields.String()
    outcome = OutcomeName(attribute="known", allow_none=True)
