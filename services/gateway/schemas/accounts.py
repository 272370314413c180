"""Accounts and tokens."""

from marshmallow import Schema, fields

from services.gateway.fields import MailAddress, Number, TrueFalse
from services.gateway.schemas.sending import LONGEST_DELAY


class AccountSchema(Schema):
    """Who is signed in."""

    id = fields.Integer()
    address = fields.String()
    name = fields.String(attribute="display_name")
    language = fields.String()
    administrator = fields.Boolean()


class ForwardingSchema(Schema):
    """R4: where an account's mail goes on to."""

    target = MailAddress(required=True, data_key="address")
    keep_copy = TrueFalse(load_default=True, allow_none=False)


class UndoSendSchema(Schema):
    """R28: how long messages wait before they go out, in seconds."""

    delay = Number(least=0, most=LONGEST_DELAY, required=True)


class TokenSchema(Schema):
    """A new token; it is shown this once."""

    token = fields.String()
    expires_at = fields.DateTime(format="iso")


class NothingSchema(Schema):
    """A body that says nothing."""
