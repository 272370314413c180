"""Folders and messages."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validates_schema

from mailrecall.domain.copies import Folder
from mailrecall.domain.recalls import Result, State
from mailrecall.domain.undo import UndoState
from mailrecall.mailstore.reading import HIGHEST_ID
from services.gateway.describing import Example
from services.gateway.fields import FolderName, Link, Number, TrueFalse

MESSAGE_LINK = "/api/v1/messages/{}"
RECALL_LINK = "/api/v1/recalls/{}"
FOLDER_LINK = "/api/v1/folders/{}/messages"

MOST_LISTED = 200


class FolderSchema(Schema):
    """A folder with its counts."""

    EXAMPLE: ClassVar[Example] = {"slug": "inbox", "total": 3, "unread": 1, "link": "/api/v1/folders/inbox/messages"}

    slug = FolderName(attribute="folder")
    total = fields.Integer(attribute="count.total")
    unread = fields.Integer(attribute="count.unread")
    link = Link(FOLDER_LINK, attribute="folder.slug")


class FoldersSchema(Schema):
    """All folders."""

    EXAMPLE: ClassVar[Example] = {"folders": [FolderSchema.EXAMPLE]}

    folders = fields.List(fields.Nested(FolderSchema))


class PageQuerySchema(Schema):
    """Which part of a folder is wanted."""

    limit = Number(least=1, most=MOST_LISTED, load_default=50)
    cursor = Number(least=1, most=HIGHEST_ID, load_default=None, allow_none=False)


class MarkSchema(Schema):
    """R15: what the author's copy shows of its recall."""

    EXAMPLE: ClassVar[Example] = {
        "id": "0195c1a4-7f4e-4c5e-9a51-3f6f0f3f9d10",
        "state": "settled",
        "result": "partial",
        "undo": None,
        "link": "/api/v1/recalls/0195c1a4-7f4e-4c5e-9a51-3f6f0f3f9d10",
    }

    id = fields.UUID(attribute="public_id")
    state = fields.Enum(State, by_value=True)
    result = fields.Enum(Result, by_value=True, allow_none=True)
    undo = fields.Enum(UndoState, by_value=True, allow_none=True)
    link = Link(RECALL_LINK, attribute="public_id")


class ListedSchema(Schema):
    """A message in a list."""

    EXAMPLE: ClassVar[Example] = {
        "id": 64,
        "folder": "inbox",
        "unread": True,
        "from": "陈晓明 <chen@lumen.example>",
        "to": "aurora@lumen.example",
        "subject": "Figures",
        "preview": "Here they are.",
        "attachment_count": 1,
        "size": 20480,
        "accepted_at": "2026-03-02T09:30:00+00:00",
        "recall": None,
        "link": "/api/v1/messages/64",
    }

    id = fields.Integer(attribute="entry.copy_id")
    folder = FolderName(attribute="entry.folder")
    unread = fields.Boolean(attribute="entry.unread")
    from_ = fields.String(attribute="entry.from_header", data_key="from")
    to = fields.String(attribute="entry.to_header")
    subject = fields.String(attribute="entry.subject")
    preview = fields.String(attribute="entry.preview")
    attachment_count = fields.Integer(attribute="entry.attachment_count")
    size = fields.Integer(attribute="entry.size")
    accepted_at = fields.DateTime(format="iso", attribute="entry.accepted_at")
    recall = fields.Nested(MarkSchema, allow_none=True)
    link = Link(MESSAGE_LINK, attribute="entry.copy_id")


class PageSchema(Schema):
    """Part of a folder."""

    EXAMPLE: ClassVar[Example] = {"messages": [ListedSchema.EXAMPLE], "next_cursor": None}

    messages = fields.List(fields.Nested(ListedSchema))
    next_cursor = fields.Integer(allow_none=True)


class AttachmentSchema(Schema):
    """An attachment, to be downloaded by its link."""

    EXAMPLE: ClassVar[Example] = {
        "index": 0,
        "filename": "figures.pdf",
        "content_type": "application/pdf",
        "size": 14200,
    }

    index = fields.Integer()
    filename = fields.String()
    content_type = fields.String()
    size = fields.Integer()


class OpenedSchema(ListedSchema):
    """A message with its text. The HTML is the sender's, as it came in: not yet safe to show."""

    EXAMPLE: ClassVar[Example] = {
        "id": 64,
        "folder": "inbox",
        "unread": False,
        "from": "陈晓明 <chen@lumen.example>",
        "to": "aurora@lumen.example",
        "subject": "Figures",
        "preview": "Here they are.",
        "attachment_count": 1,
        "size": 20480,
        "accepted_at": "2026-03-02T09:30:00+00:00",
        "recall": None,
        "link": "/api/v1/messages/64",
        "cc": "",
        "reply_to": "",
        "date": "2026-03-02T09:30:00+00:00",
        "message_id": "<a1@lumen.example>",
        "text": "Here they are.",
        "html": None,
        "attachments": [AttachmentSchema.EXAMPLE],
    }

    cc = fields.String(attribute="readable.cc_header")
    reply_to = fields.String(attribute="readable.reply_to_header")
    date = fields.DateTime(format="iso", attribute="readable.date", allow_none=True)
    message_id = fields.String(attribute="readable.message_id")
    text = fields.String(attribute="readable.text", allow_none=True)
    html = fields.String(attribute="readable.html", allow_none=True)
    attachments = fields.List(fields.Nested(AttachmentSchema))


class ChangeSchema(Schema):
    """What is to be changed of a message; what is left out stays."""

    EXAMPLE: ClassVar[Example] = {"folder": "archive"}

    DOCUMENT: ClassVar[Example] = {"minProperties": 1}

    unread = TrueFalse(load_default=None, allow_none=False)
    folder = FolderName(load_default=None, allow_none=False)

    @validates_schema
    def something(self, data: dict[str, bool | Folder | None], **_: Any) -> None:
        """A change of nothing is a mistake."""
        if data.get("unread") is None and data.get("folder") is None:
            raise ValidationError("Say what to change: unread, folder or both.")


class DeletionQuerySchema(Schema):
    """How a message is to be deleted."""

    permanent = TrueFalse(load_default=False)
