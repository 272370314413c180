"""Accounts and tokens."""

from marshmallow import Schema, fields


class AccountSchema(Schema):
    """Who is signed in."""

    id = fields.Integer()
    address = fields.String()
    name = fields.String(attribute="display_name")
    language = fields.String()
    administrator = fields.Boolean()


class TokenSchema(Schema):
    """A new token; it is shown this once."""

    token = fields.String()
    expires_at = fields.DateTime(format="iso")


class NothingSchema(Schema):
    """A body that says nothing."""
