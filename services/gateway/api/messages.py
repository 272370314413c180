"""Messages: reading them, keeping them in order, writing new ones."""

import io
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, request, send_file
from werkzeug.wrappers import Response

from mailrecall import clock
from mailrecall.domain.copies import Folder
from mailrecall.mailstore.reading import Removal
from services.gateway import decoding, mailbox, outgoing, sending
from services.gateway.api import forms
from services.gateway.api.answers import sent, written
from services.gateway.current import account, process
from services.gateway.problems import not_found
from services.gateway.schemas.messages import ChangeSchema, DeletionQuerySchema, ListedSchema, OpenedSchema
from services.gateway.schemas.sending import ForwardSchema, NewMessageSchema

blueprint = Blueprint("messages", __name__, url_prefix="/messages")

_LISTED = ListedSchema()
_OPENED = OpenedSchema()
_CHANGE = ChangeSchema()
_DELETION = DeletionQuerySchema()
_NEW_MESSAGE = NewMessageSchema()
_FORWARD = ForwardSchema()


@dataclass(frozen=True, slots=True)
class _Change:
    unread: bool | None
    folder: Folder | None


@dataclass(frozen=True, slots=True)
class _Deletion:
    permanent: bool


@blueprint.get("/<copy_id:copy_id>")
def open_message(copy_id: int) -> Any:
    """R2: read a message. To look whether it is there (HEAD) is not a read."""
    if request.method == "HEAD":
        return _found(mailbox.look(process().databases, account(), copy_id))
    return _OPENED.dump(mailbox.open_message(process().databases, account(), copy_id, now=clock.now()))


@blueprint.get("/<copy_id:copy_id>/source")
def download_source(copy_id: int) -> Any:
    """R2, R5: take the message as it came in, byte for byte."""
    if request.method == "HEAD":
        return _found(mailbox.look(process().databases, account(), copy_id))
    shown = mailbox.source(process().databases, account(), copy_id, now=clock.now())
    return _file(shown.content, "message/rfc822", f"{copy_id}.eml")


@blueprint.get("/<copy_id:copy_id>/attachments/<index:index>")
def download_attachment(copy_id: int, index: int) -> Any:
    """R5: download an attachment."""
    if request.method == "HEAD":
        listed = mailbox.look(process().databases, account(), copy_id)
        if index >= listed.entry.attachment_count:
            raise not_found("attachment")
        return _found(listed)
    attachment, content = mailbox.attachment(process().databases, account(), copy_id, index, now=clock.now())
    return _file(content, attachment.content_type, attachment.filename)


@blueprint.patch("/<copy_id:copy_id>")
def change_message(copy_id: int) -> Any:
    """Mark a message (un)read, put it into another folder."""
    change = decoding.json_body(_CHANGE, _Change)
    return _LISTED.dump(
        mailbox.change(
            process().databases, account(), copy_id, unread=change.unread, folder=change.folder, now=clock.now()
        )
    )


@blueprint.delete("/<copy_id:copy_id>")
def delete_message(copy_id: int) -> Any:
    """Put a message into the trash; from there, or with `permanent`, delete it for good."""
    deletion = decoding.query(_DELETION, _Deletion)
    databases = process().databases
    removal = mailbox.delete(databases, account(), copy_id, permanent=deletion.permanent, now=clock.now())
    if removal is Removal.FOR_GOOD:
        return Response(status=204)
    return _LISTED.dump(mailbox.look(databases, account(), copy_id))


@blueprint.post("")
def send_message() -> Any:
    """Send a message, as JSON or as a form with files."""
    if request.mimetype == forms.MEDIA_TYPE:
        message = forms.new_message()
    else:
        message = decoding.json_body(_NEW_MESSAGE, sending.NewMessage)
    return sent(outgoing.send(process(), account(), message, now=clock.now()))


@blueprint.delete("/<copy_id:copy_id>/sending")
def take_back(copy_id: int) -> Any:
    """R28: take a message back before it goes out."""
    saved = outgoing.take_back(process(), account(), copy_id, now=clock.now())
    return written(saved) if saved else Response(status=204)


@blueprint.post("/<copy_id:copy_id>/forward")
def forward_message(copy_id: int) -> Any:
    """R4: pass a message on."""
    forward_to = decoding.json_body(_FORWARD, sending.Forward)
    return sent(sending.forward(process(), account(), copy_id, forward_to, now=clock.now()))


def _found(_: mailbox.Listed) -> Response:
    response = Response()
    # what GET would send is not known without reading it
    response.automatically_set_content_length = False
    return response


def _file(content: bytes, content_type: str, filename: str) -> Response:
    # always to be saved, never to be shown: what strangers mailed must not be rendered in this origin
    response = send_file(
        io.BytesIO(content), content_type, as_attachment=True, download_name=filename, etag=False, conditional=False
    )
    # as the sender declared it: Flask would add a charset of its own to text
    response.content_type = content_type
    # Flask's is weaker than the one that every response gets
    del response.headers["Cache-Control"]
    return response
