"""Messages to be sent."""

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, post_load

from mailrecall.mime.compose import NewAttachment
from services.gateway.describing import Example
from services.gateway.fields import Base64, Line, Link, MailAddress, MediaType, Name, Number, Text
from services.gateway.schemas.messages import MESSAGE_LINK

SENDING_LINK = "/api/v1/messages/{}/sending"
LONGEST_DELAY = 60

OCTETS = "application/octet-stream"
MOST_ATTACHMENTS = 500
"""Files that one message may have: what it takes to write one down grows with their number, however small they are."""

TOO_MANY_ATTACHMENTS = f"One message can have {MOST_ATTACHMENTS} attachments at most; pack them into an archive."


class AddresseesSchema(Schema):
    """Whom a message is for. Addresses stand alone, without names."""

    to = fields.List(MailAddress(), load_default=())
    cc = fields.List(MailAddress(), load_default=())
    bcc = fields.List(MailAddress(), load_default=())


class NewAttachmentSchema(Schema):
    """A file in JSON."""

    EXAMPLE: ClassVar[Example] = {"filename": "figures.txt", "content_type": "text/plain", "content": "NDIK"}

    filename = Name(required=True)
    content_type = MediaType(load_default=OCTETS)
    content = Base64(required=True)

    @post_load
    def attachment(self, data: dict[str, Any], **_: Any) -> NewAttachment:
        """Make it one."""
        return NewAttachment(**data)


class SendingSchema(Schema):
    """R28: how long a message waits before it goes out, in seconds; left out: as long as the account has chosen."""

    EXAMPLE: ClassVar[Example] = {"delay": 10}

    delay = Number(least=0, most=LONGEST_DELAY, load_default=None)


class NewFormMessageSchema(AddresseesSchema, SendingSchema):
    """A message as a form's text fields hold it; its files come beside them."""

    EXAMPLE: ClassVar[Example] = {
        "to": ["chen@lumen.example", "aurora@lumen.example"],
        "subject": "Figures",
        "text": "Here they are.",
    }

    subject = Line(load_default="")
    text = Text(load_default="")
    html = Text(load_default=None)


class AttachmentList(fields.List[NewAttachment]):
    """Files, counted before any of them is looked at."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> list[NewAttachment | None]:
        if isinstance(value, list) and len(value) > MOST_ATTACHMENTS:
            raise ValidationError(TOO_MANY_ATTACHMENTS)
        return super()._deserialize(value, attr, data, **kwargs)


class NewMessageSchema(NewFormMessageSchema):
    """A message in JSON."""

    EXAMPLE: ClassVar[Example] = {
        "to": ["chen@lumen.example", "aurora@lumen.example"],
        "subject": "Figures",
        "text": "Here they are.",
        "attachments": [NewAttachmentSchema.EXAMPLE],
    }

    attachments = AttachmentList(fields.Nested(NewAttachmentSchema), load_default=())


class FileSchema(Schema):
    """What a form says of a file."""

    filename = Name(required=True)
    content_type = MediaType(load_default=OCTETS)


class ForwardSchema(Schema):
    """To whom a message is passed on, and with what words."""

    EXAMPLE: ClassVar[Example] = {"to": ["staff00003@lumen.example"], "comment": "For you."}

    to = fields.List(MailAddress(), required=True)
    comment = Text(load_default="")


class SentSchema(Schema):
    """A message that was accepted: the author's copy, which lies in Sent as soon as it is delivered there."""

    EXAMPLE: ClassVar[Example] = {
        "id": 65,
        "accepted_at": "2026-03-02T09:30:00+00:00",
        "sends_at": "2026-03-02T09:30:10+00:00",
        "sending": "/api/v1/messages/65/sending",
        "link": "/api/v1/messages/65",
    }

    id = fields.Integer(attribute="copy_id")
    accepted_at = fields.DateTime(format="iso")
    sends_at = fields.DateTime(format="iso")
    sending = Link(SENDING_LINK, attribute="waiting_id")
    link = Link(MESSAGE_LINK, attribute="copy_id")
