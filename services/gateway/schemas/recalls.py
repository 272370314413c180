"""Recalls."""

from typing import ClassVar

from marshmallow import Schema, fields

from mailrecall.domain.recalls import Result, State
from mailrecall.domain.undo import UndoState
from mailrecall.mailstore.reading import HIGHEST_ID
from services.gateway.describing import Example
from services.gateway.fields import FailureCursor, Link, Number, OutcomeName, Outcomes, Reason
from services.gateway.schemas.messages import MESSAGE_LINK, MOST_LISTED, RECALL_LINK, MarkSchema


class AskingSchema(Schema):
    """A request for a recall; the message by the id that the Sent folder shows."""

    EXAMPLE: ClassVar[Example] = {"message_id": 65, "reason": "wrong figures"}

    message_id = Number(least=1, most=HIGHEST_ID, required=True)
    reason = Reason(required=True)


class GroupSchema(Schema):
    """A group that the sender named, with what became of its members' copies."""

    EXAMPLE: ClassVar[Example] = {
        "address": "aurora@lumen.example",
        "done": 119,
        "outcomes": {"recalled": 96, "already_read": 19, "forwarded": 1, "external": 3},
    }

    address = fields.String()
    done = fields.Integer()
    outcomes = Outcomes(attribute="tally")


class UndoingSchema(Schema):
    """R26: a request to undo a recall; the reason is for the audit trail."""

    EXAMPLE: ClassVar[Example] = {"reason": "it was the right figures after all"}

    reason = Reason(load_default=None, allow_none=False)


class UndoSchema(Schema):
    """R26: how far the undo of a recall has got: copies that are back, and copies whose mailbox was closed."""

    EXAMPLE: ClassVar[Example] = {
        "state": "restored",
        "requested_at": "2026-03-03T08:00:00+00:00",
        "restored_at": "2026-03-03T08:00:01+00:00",
        "restored": 95,
        "gone": 1,
    }

    state = fields.Enum(UndoState, by_value=True)
    requested_at = fields.DateTime(format="iso")
    restored_at = fields.DateTime(format="iso", allow_none=True)
    restored = fields.Integer()
    gone = fields.Integer()


class ProgressSchema(Schema):
    """A recall as it stands: counts, never addresses of people (R23)."""

    EXAMPLE: ClassVar[Example] = {
        "id": "0195c1a4-7f4e-4c5e-9a51-3f6f0f3f9d10",
        "message_id": 65,
        "subject": "Figures",
        "reason": "wrong figures",
        "as_administrator": False,
        "requested_at": "2026-03-02T09:31:00+00:00",
        "deadline_at": "2026-03-02T10:31:00+00:00",
        "state": "settled",
        "result": "partial",
        "settled_at": "2026-03-02T09:31:01+00:00",
        "recipients": 120,
        "done": 120,
        "outcomes": {"recalled": 96, "already_read": 20, "forwarded": 1, "external": 3},
        "directly": {"already_read": 1},
        "groups": [GroupSchema.EXAMPLE],
        "report": "/api/v1/messages/68",
        "restorable_until": "2026-03-09T09:31:01+00:00",
        "undo": None,
        "link": "/api/v1/recalls/0195c1a4-7f4e-4c5e-9a51-3f6f0f3f9d10",
    }

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
    restorable_until = fields.DateTime(format="iso", allow_none=True)
    undo = fields.Nested(UndoSchema, allow_none=True)
    link = Link(RECALL_LINK, attribute="recall.public_id")


class KnownSchema(Schema):
    """That there is a recall, for the author of a message that an administrator recalled."""

    EXAMPLE: ClassVar[Example] = {"id": "0195c1a4-7f4e-4c5e-9a51-3f6f0f3f9d10"}

    id = fields.UUID()


class RecallPageQuerySchema(Schema):
    """Which part of the list is wanted."""

    limit = Number(least=1, most=MOST_LISTED, load_default=50)
    cursor = Number(least=1, most=HIGHEST_ID, load_default=None, allow_none=False)


class ListedRecallSchema(Schema):
    """A recall in a list."""

    EXAMPLE: ClassVar[Example] = {
        "id": ProgressSchema.EXAMPLE["id"],
        "message_id": 65,
        "subject": "Figures",
        "reason": "wrong figures",
        "as_administrator": False,
        "requested_at": "2026-03-02T09:31:00+00:00",
        "state": "settled",
        "result": "partial",
        "settled_at": "2026-03-02T09:31:01+00:00",
        "link": ProgressSchema.EXAMPLE["link"],
    }

    id = fields.UUID(attribute="public_id")
    message_id = fields.Integer(attribute="author_copy_id")
    subject = fields.String()
    reason = fields.String()
    as_administrator = fields.Boolean()
    requested_at = fields.DateTime(format="iso")
    state = fields.Enum(State, by_value=True)
    result = fields.Enum(Result, by_value=True, allow_none=True)
    settled_at = fields.DateTime(format="iso", allow_none=True)
    link = Link(RECALL_LINK, attribute="public_id")


class RecallPageSchema(Schema):
    """Part of the list."""

    EXAMPLE: ClassVar[Example] = {"recalls": [ListedRecallSchema.EXAMPLE], "next_cursor": None}

    recalls = fields.List(fields.Nested(ListedRecallSchema))
    next_cursor = fields.Integer(allow_none=True)


class AddresseeSchema(Schema):
    """Somebody whom the sender named directly, with what became of their copy if that is known."""

    EXAMPLE: ClassVar[Example] = {"address": "chen@lumen.example", "outcome": "already_read"}

    address = fields.String()
    outcome = OutcomeName(attribute="known", allow_none=True)


class AddresseesSchema(Schema):
    """Everybody whom the sender named directly."""

    EXAMPLE: ClassVar[Example] = {"recipients": [AddresseeSchema.EXAMPLE]}

    recipients = fields.List(fields.Nested(AddresseeSchema))


class PreviewedGroupSchema(Schema):
    """A group that the sender named, with what would become of its members' copies."""

    EXAMPLE: ClassVar[Example] = {"address": "aurora@lumen.example", "outcomes": {"recalled": 96, "already_read": 23}}

    address = fields.String()
    outcomes = Outcomes(attribute="tally")


class PreviewSchema(Schema):
    """R25: what a recall would come to now: counts, never addresses of people (R23)."""

    EXAMPLE: ClassVar[Example] = {
        "message_id": 65,
        "subject": "Figures",
        "accepted_at": "2026-03-02T09:30:00+00:00",
        "closes_at": "2026-03-03T09:30:00+00:00",
        "as_administrator": False,
        "needs_approval": False,
        "recipients": 120,
        "recallable": 96,
        "complete": True,
        "unanswered": 0,
        "outcomes": {"recalled": 96, "already_read": 24},
        "directly": {"already_read": 1},
        "groups": [PreviewedGroupSchema.EXAMPLE],
        "recall": None,
    }

    message_id = fields.Integer(attribute="author_copy_id")
    subject = fields.String()
    accepted_at = fields.DateTime(format="iso")
    closes_at = fields.DateTime(format="iso")
    as_administrator = fields.Boolean()
    needs_approval = fields.Boolean()
    recipients = fields.Integer(attribute="preview.recipients")
    recallable = fields.Integer()
    complete = fields.Boolean()
    unanswered = fields.Integer(attribute="preview.unknown")
    outcomes = Outcomes(attribute="preview.tally")
    directly = Outcomes(attribute="direct")
    groups = fields.List(fields.Nested(PreviewedGroupSchema))
    recall = fields.Nested(MarkSchema, allow_none=True)


class FailureQuerySchema(Schema):
    """Which part of the failed accounts is wanted."""

    limit = Number(least=1, most=1000, load_default=100)
    cursor = FailureCursor(load_default=None, allow_none=False)


class FailedSchema(Schema):
    """Somebody whose copy stayed, with the reason (R23)."""

    EXAMPLE: ClassVar[Example] = {
        "address": "chen@lumen.example",
        "group": "aurora@lumen.example",
        "outcome": "already_read",
    }

    address = fields.String()
    group = fields.String(allow_none=True)
    outcome = OutcomeName()


class FailedPageSchema(Schema):
    """Part of those whose copies stayed."""

    EXAMPLE: ClassVar[Example] = {"failures": [FailedSchema.EXAMPLE], "next_cursor": None, "complete": True}

    failures = fields.List(fields.Nested(FailedSchema))
    next_cursor = FailureCursor(allow_none=True)
    complete = fields.Boolean()
