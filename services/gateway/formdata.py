"""Forms with files as they arrive, multipart/form-data (RFC 7578)."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

from flask import Request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser, MultiPartParser
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder

MEDIA_TYPE = "multipart/form-data"


class FormParser(FormDataParser):
    """Gives Werkzeug's decoder the whole body of a form with files at once.

    Werkzeug's own parser reads chunks of 64 KiB, and where one of them ends inside a boundary the decoder may take the
    next part for content of the one before, or leave a stray octet (pallets/werkzeug#3285): a mail would not be what
    its author attached. The files become one message in memory anyway, and MAX_CONTENT_LENGTH bounds the body. Given a
    bound for text, that parser would hold it against the whole body; here it is the octets of all text fields together.
    """

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str] | None = None
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]:
        """Read a form to its end: what is left of the stream, its text fields, its files.

        Raises:
            BadRequest: it is no such form, or ends too early.
            RequestEntityTooLarge: it has too many parts, or too much text.
        """
        if mimetype != MEDIA_TYPE:
            return super().parse(stream, mimetype, content_length, options)
        boundary = (options or {}).get("boundary", "").encode()
        if not boundary:
            raise BadRequest("A form as multipart/form-data names its boundary.")
        decoder = MultipartDecoder(boundary, max_parts=self.max_form_parts)
        decoder.receive_data(stream.read())
        decoder.receive_data(None)
        # of a form that is refused nobody gets the files, to close them
        with ExitStack() as refused:
            try:
                fields, files = self._parts(decoder, content_length, refused)
            except ValueError as error:
                raise BadRequest("This is not multipart/form-data, or a part of it is missing.") from error
            refused.pop_all()
        return stream, fields, files

    def _parts(
        self, decoder: MultipartDecoder, content_length: int | None, opened: ExitStack
    ) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
        """Take a form apart, as long as its text is not too long; the files are left open."""
        fields, files = [], []
        left = sys.maxsize if self.max_form_memory_size is None else self.max_form_memory_size
        while not isinstance(part := decoder.next_event(), Epilogue):
            if isinstance(part, Field):
                # before it is copied: line breaks around it, and the boundary, stand within this reach
                reach = left + 2 * len(b"\r\n") + len(b"--" + decoder.boundary)
                if len(decoder.buffer) > reach and decoder.buffer.find(b"--" + decoder.boundary, 0, reach) < 0:
                    raise RequestEntityTooLarge
                text = b"".join(_data(decoder))
                left -= len(text)
                if left < 0:
                    raise RequestEntityTooLarge
                charset = MultiPartParser().get_part_charset(part.headers)
                fields.append((part.name, text.decode(charset, "replace")))
            elif isinstance(part, File):
                content_type = part.headers.get("content-type")
                kept = self.stream_factory(content_length, content_type, part.filename)
                opened.callback(kept.close)
                kept.writelines(_data(decoder))
                kept.seek(0)
                files.append((part.name, FileStorage(kept, part.filename, part.name, headers=part.headers)))
        return self.cls(fields), self.cls(files)


def _data(decoder: MultipartDecoder) -> Iterator[bytes]:
    """Give what a part holds, to its end."""
    more = True
    while more:
        event = decoder.next_event()
        if isinstance(event, Data):
            yield event.data
            more = event.more_data


class FormRequest(Request):
    """A request whose form arrives as it was sent."""

    form_data_parser_class = FormParser
