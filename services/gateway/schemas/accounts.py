"""Accounts and tokens."""

from typing import ClassVar

from marshmallow import Schema, fields

from services.gateway.describing import Example
from services.gateway.fields import MailAddress, Number, TrueFalse
from services.gateway.schemas.sending import LONGEST_DELAY


class AccountSchema(Schema):
    """Who is signed in."""

    EXAMPLE: ClassVar[Example] = {
        "id": 7,
        "address": "ada@lumen.example",
        "name": "Ada Lund",
        "language": "en",
        "administrator": False,
    }

    id = fields.Integer()
    address = fields.String()
    name = fields.String(attribute="display_name")
    language = fields.String()
    administrator = fields.Boolean()


class ForwardingSchema(Schema):
    """R4: where an account's mail goes on to."""

    EXAMPLE: ClassVar[Example] = {"address": "chen@lumen.example", "keep_copy": True}

    target = MailAddress(required=True, data_key="address")
    keep_copy = TrueFalse(load_default=True, allow_none=False)


class UndoSendSchema(Schema):
    """R28: how long messages wait before they go out, in seconds."""

    EXAMPLE: ClassVar[Example] = {"delay": 10}

    delay = Number(least=0, most=LONGEST_DELAY, required=True)


class NothingSchema(Schema):
    """A body that says nothing."""

    EXAMPLE: ClassVar[Example] = {}
