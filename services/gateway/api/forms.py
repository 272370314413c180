"""A message as multipart/form-data (RFC 7578): text fields as in JSON, each recipient a field, each file one too."""

from flask import request
from werkzeug.datastructures import FileStorage

from mailrecall.mime.compose import NewAttachment
from services.gateway import decoding
from services.gateway.problems import Code, FieldError, Problem
from services.gateway.schemas.sending import (
    MOST_ATTACHMENTS,
    OCTETS,
    TOO_MANY_ATTACHMENTS,
    FileSchema,
    NewFormMessageSchema,
)
from services.gateway.sending import NewMessage

FILES = "attachments"

_MESSAGE = NewFormMessageSchema()
_FILE = FileSchema()
_REPEATED = ("to", "cc", "bcc")


def new_message() -> NewMessage:
    """Read a message from the form.

    Raises:
        Problem: a field is missing, unknown or wrong.
    """
    unknown = [FieldError(f"#/{name}", "Unknown field.") for name in request.files if name != FILES]
    if unknown:
        raise Problem(Code.INVALID, f"Files belong into the field '{FILES}'.", unknown)
    document = {
        name: given if name in _REPEATED or len(given) > 1 else given[0] for name, given in request.form.lists()
    }
    files = request.files.getlist(FILES)
    if len(files) > MOST_ATTACHMENTS:
        raise Problem(Code.INVALID, TOO_MANY_ATTACHMENTS, [FieldError(f"#/{FILES}", TOO_MANY_ATTACHMENTS)])
    attachments = [_attachment(file) for file in files]
    return decoding.load(_MESSAGE, lambda **fields: NewMessage(**fields, attachments=attachments), document)


def _attachment(file: FileStorage) -> NewAttachment:
    described = {"filename": file.filename or "", "content_type": file.mimetype or OCTETS}
    return decoding.load(_FILE, lambda **fields: NewAttachment(**fields, content=file.stream.read()), described)
