"""Tokens."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from mailrecall.directory.tokens import Scope
from services.gateway.describing import Example
from services.gateway.fields import Name, Number

_SCOPES = [scope.value for scope in Scope]
LONGEST_NAME = 100
LONGEST_LIFETIME = 366 * 86_400


class NewTokenSchema(Schema):
    """A token to be issued. With `name` it is a personal one and needs `scopes`; `lifetime` is in seconds."""

    EXAMPLE: ClassVar[Example] = {"name": "nightly export", "scopes": ["read"], "lifetime": 2_592_000}
    DOCUMENT: ClassVar[Example] = {"dependentRequired": {"name": ["scopes"], "scopes": ["name"]}}

    name = Name(load_default=None, allow_none=False, validate=validate.Length(max=LONGEST_NAME))
    scopes = fields.List(
        fields.Enum(Scope, by_value=True), load_default=None, allow_none=False, validate=validate.Length(min=1, max=8)
    )
    lifetime = Number(least=60, most=LONGEST_LIFETIME, load_default=None, allow_none=False)

    @validates_schema
    def both_or_neither(self, data: dict[str, Any], **_: Any) -> None:
        """A personal token says what it is for."""
        if (data.get("name") is None) != (data.get("scopes") is None):
            raise ValidationError("A personal token has a name and scopes; a sign-in's has neither.")


class TokenSchema(Schema):
    """A new token; it is shown this once. That of a sign-in has no id and no name."""

    EXAMPLE: ClassVar[Example] = {
        "token": "mr_kX…",
        "expires_at": "2026-03-02T21:30:00+00:00",
        "id": 12,
        "name": "nightly export",
        "scopes": ["read"],
    }

    token = fields.String()
    expires_at = fields.DateTime(format="iso")
    id = fields.Integer(allow_none=True)
    name = fields.String(allow_none=True)
    scopes = fields.List(fields.String(validate=validate.OneOf(_SCOPES)))


class ListedTokenSchema(Schema):
    """A personal token."""

    EXAMPLE: ClassVar[Example] = {
        "id": 12,
        "name": "nightly export",
        "scopes": ["read"],
        "created_at": "2026-03-02T09:30:00+00:00",
        "expires_at": "2026-04-01T09:30:00+00:00",
        "last_used_at": None,
    }

    id = fields.Integer()
    name = fields.String()
    scopes = fields.List(fields.String(validate=validate.OneOf(_SCOPES)))
    created_at = fields.DateTime(format="iso")
    expires_at = fields.DateTime(format="iso")
    last_used_at = fields.DateTime(format="iso", allow_none=True)


class TokensSchema(Schema):
    """All personal tokens of an account."""

    EXAMPLE: ClassVar[Example] = {"tokens": [ListedTokenSchema.EXAMPLE]}

    tokens = fields.List(fields.Nested(ListedTokenSchema))
