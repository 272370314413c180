"""Messages: reading them, keeping them in order, writing new ones."""

import hashlib
import io
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, request, send_file
from werkzeug.wrappers import Response

from mailrecall import clock
from mailrecall.directory.tokens import Scope
from mailrecall.domain.copies import Folder
from mailrecall.domain.recalls import Refusal
from mailrecall.mailstore.reading import Removal
from services.gateway import decoding, formdata, idempotency, mailbox, outgoing, previewing, sending
from services.gateway.api import forms
from services.gateway.api.answers import conditional, sent, written
from services.gateway.current import account, process
from services.gateway.describing import IF_NONE_MATCH, UNCHANGED, WITH_ETAG, Answer, describe
from services.gateway.idempotency import Keep
from services.gateway.problems import Code, not_found
from services.gateway.schemas.drafts import DraftSchema
from services.gateway.schemas.messages import ChangeSchema, DeletionQuerySchema, ListedSchema, OpenedSchema
from services.gateway.schemas.recalls import PreviewSchema
from services.gateway.schemas.sending import ForwardSchema, NewFormMessageSchema, NewMessageSchema, SentSchema

blueprint = Blueprint("messages", __name__, url_prefix="/messages")

_LISTED = ListedSchema()
_OPENED = OpenedSchema()
_CHANGE = ChangeSchema()
_DELETION = DeletionQuerySchema()
_NEW_MESSAGE = NewMessageSchema()
_FORWARD = ForwardSchema()
_PREVIEW = PreviewSchema()


@dataclass(frozen=True, slots=True)
class _Change:
    unread: bool | None
    folder: Folder | None


@dataclass(frozen=True, slots=True)
class _Deletion:
    permanent: bool


@blueprint.get("/<copy_id:copy_id>")
@describe(
    answers={200: Answer(OpenedSchema, headers=WITH_ETAG), 304: UNCHANGED}, headers=IF_NONE_MATCH, scope=Scope.READ
)
def open_message(copy_id: int) -> Any:
    """R2: read a message. To look whether it is there (HEAD) is not a read."""
    if request.method == "HEAD":
        return _found(mailbox.look(process().databases, account(), copy_id))
    return conditional(_OPENED.dump(mailbox.open_message(process().databases, account(), copy_id, now=clock.now())))


@blueprint.get("/<copy_id:copy_id>/source")
@describe(
    answers={200: Answer(says="The message.", media_type="message/rfc822", headers=WITH_ETAG), 304: UNCHANGED},
    headers=IF_NONE_MATCH,
    scope=Scope.READ,
)
def download_source(copy_id: int) -> Any:
    """R2, R5: take the message as it came in, byte for byte."""
    if request.method == "HEAD":
        return _found(mailbox.look(process().databases, account(), copy_id))
    shown = mailbox.source(process().databases, account(), copy_id, now=clock.now())
    return attached_file(shown.content, "message/rfc822", f"{copy_id}.eml")


@blueprint.get("/<copy_id:copy_id>/attachments/<index:index>")
@describe(
    answers={200: Answer(says="The attachment.", media_type="*/*", headers=WITH_ETAG), 304: UNCHANGED},
    headers=IF_NONE_MATCH,
    scope=Scope.READ,
)
def download_attachment(copy_id: int, index: int) -> Any:
    """R5: download an attachment."""
    if request.method == "HEAD":
        listed = mailbox.look(process().databases, account(), copy_id)
        if index >= listed.entry.attachment_count:
            raise not_found("attachment")
        return _found(listed)
    attachment, content = mailbox.attachment(process().databases, account(), copy_id, index, now=clock.now())
    return attached_file(content, attachment.content_type, attachment.filename)


@blueprint.get("/<copy_id:copy_id>/recall-preview")
@describe(
    answers={200: PreviewSchema},
    problems=[Code(refusal.value) for refusal in Refusal if refusal is not Refusal.RATE_LIMITED],
    scope=Scope.READ,
)
def preview_recall(copy_id: int) -> Any:
    """R25: how many copies a recall would take, and why the others would stay; nothing changes."""
    return _PREVIEW.dump(previewing.preview(process(), account(), copy_id, now=clock.now()))


@blueprint.patch("/<copy_id:copy_id>")
@describe(body=ChangeSchema, answers={200: ListedSchema}, scope=Scope.SEND)
def change_message(copy_id: int) -> Any:
    """Mark a message (un)read, put it into another folder."""
    change = decoding.json_body(_CHANGE, _Change)
    return _LISTED.dump(
        mailbox.change(
            process().databases, account(), copy_id, unread=change.unread, folder=change.folder, now=clock.now()
        )
    )


@blueprint.delete("/<copy_id:copy_id>")
@describe(
    query=DeletionQuerySchema,
    answers={200: Answer(ListedSchema, says="It lies in the trash."), 204: Answer(says="It is gone for good.")},
    scope=Scope.SEND,
)
def delete_message(copy_id: int) -> Any:
    """Put a message into the trash; from there, or with `permanent`, delete it for good."""
    deletion = decoding.query(_DELETION, _Deletion)
    databases = process().databases
    removal = mailbox.delete(databases, account(), copy_id, permanent=deletion.permanent, now=clock.now())
    if removal is Removal.FOR_GOOD:
        return Response(status=204)
    return _LISTED.dump(mailbox.look(databases, account(), copy_id))


@blueprint.post("")
@describe(
    body=NewMessageSchema,
    form=NewFormMessageSchema,
    answers={202: SentSchema},
    headers=idempotency.DESCRIBED,
    problems=[Code.RECIPIENTS_REFUSED, *idempotency.PROBLEMS],
    scope=Scope.SEND,
)
def send_message() -> Any:
    """Send a message, as JSON or as a form with files."""
    if request.mimetype == formdata.MEDIA_TYPE:
        message = forms.new_message()
    else:
        message = decoding.json_body(_NEW_MESSAGE, sending.NewMessage)

    def carry_out(keep: Keep) -> idempotency.Answer:
        return sent(
            outgoing.send(
                process(),
                account(),
                message,
                meanwhile=lambda control, accepted: keep(control, sent(accepted)),
                now=clock.now(),
            )
        )

    return idempotency.once(message, carry_out)


@blueprint.delete("/<copy_id:copy_id>/sending")
@describe(
    answers={200: DraftSchema, 204: Answer(says="Its draft was thrown away meanwhile.")},
    problems=[Code.ALREADY_SENT],
    scope=Scope.SEND,
)
def take_back(copy_id: int) -> Any:
    """R28: take a message back before it goes out."""
    saved = outgoing.take_back(process(), account(), copy_id, now=clock.now())
    return written(saved) if saved else Response(status=204)


@blueprint.post("/<copy_id:copy_id>/forward")
@describe(
    body=ForwardSchema,
    answers={202: SentSchema},
    headers=idempotency.DESCRIBED,
    problems=[Code.RECIPIENTS_REFUSED, *idempotency.PROBLEMS],
    scope=Scope.SEND,
)
def forward_message(copy_id: int) -> Any:
    """R4: pass a message on."""
    forward_to = decoding.json_body(_FORWARD, sending.Forward)

    def carry_out(keep: Keep) -> idempotency.Answer:
        return sent(
            sending.forward(
                process(),
                account(),
                copy_id,
                forward_to,
                meanwhile=lambda control, accepted: keep(control, sent(accepted)),
                now=clock.now(),
            )
        )

    return idempotency.once(forward_to, carry_out)


def _found(_: mailbox.Listed) -> Response:
    response = Response()
    # what GET would send is not known without reading it
    response.automatically_set_content_length = False
    return response


def attached_file(content: bytes, content_type: str, filename: str) -> Response:
    """Return something mailed as a file to be saved."""
    # always to be saved, never to be shown: what strangers mailed must not be rendered in this origin
    response = send_file(
        io.BytesIO(content), content_type, as_attachment=True, download_name=filename, etag=False, conditional=False
    )
    # as the sender declared it: Flask would add a charset of its own to text
    response.content_type = content_type
    # Flask's is weaker than the one that every response gets
    del response.headers["Cache-Control"]
    # who has it already read it already: to be told so is no more of a read than this was
    response.set_etag(hashlib.sha256(content).hexdigest())
    return response.make_conditional(request)
