"""An organisation's switches; `mailrecall.domain.policy` says what each means."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validates_schema

from mailrecall.domain.policy import (
    LONGEST_RETENTION,
    LONGEST_WINDOW,
    MOST_COPIES,
    MOST_RECALLS_PER_HOUR,
    GroupMode,
    Policy,
    Scope,
)
from services.gateway.describing import Example
from services.gateway.fields import Number, TrueFalse


class PolicySchema(Schema):
    """Every switch of an organisation. Durations are seconds."""

    EXAMPLE: ClassVar[Example] = Policy().to_mapping()

    scope = fields.Enum(Scope, by_value=True)
    window_user = fields.Integer()
    window_admin = fields.Integer()
    recall_any_channel_admin = fields.Boolean()
    group_mode = fields.Enum(GroupMode, by_value=True)
    tombstone = fields.Boolean()
    notify_author = fields.Boolean()
    approval_above = fields.Integer()
    admin_sees_failed_accounts = fields.Boolean()
    retention = fields.Integer()
    recalls_per_hour = fields.Integer()


class PolicyChangeSchema(Schema):
    """The switches that are to be set; those left out stay."""

    DOCUMENT: ClassVar[Example] = {"minProperties": 1}

    EXAMPLE: ClassVar[Example] = {"window_admin": 1_296_000, "notify_author": True}

    scope = fields.Enum(Scope, by_value=True)
    window_user = Number(least=1, most=LONGEST_WINDOW)
    window_admin = Number(least=1, most=LONGEST_WINDOW)
    recall_any_channel_admin = TrueFalse()
    group_mode = fields.Enum(GroupMode, by_value=True)
    tombstone = TrueFalse()
    notify_author = TrueFalse()
    approval_above = Number(least=0, most=MOST_COPIES)
    admin_sees_failed_accounts = TrueFalse()
    retention = Number(least=0, most=LONGEST_RETENTION)
    recalls_per_hour = Number(least=1, most=MOST_RECALLS_PER_HOUR)

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:
        """A change of nothing is a mistake."""
        if not data:
            raise ValidationError("Name at least one switch.")
