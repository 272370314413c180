"""A draft's files are read out of it at once, however many there are."""

from datetime import UTC, datetime
from unittest import mock

from mailrecall.mime import reading
from mailrecall.mime.compose import Composition, NewAttachment, compose
from services.gateway import drafting


def test_a_draft_is_taken_apart_once_for_all_its_files():
    files = [NewAttachment(f"{number}.bin", "application/octet-stream", bytes([number])) for number in range(30)]
    written = Composition(from_address="ada@example.org", text="See the files.", attachments=files)
    content = compose(written, now=datetime(2026, 3, 2, tzinfo=UTC), hostname="mx.example.org")
    draft = mock.Mock(content=content)
    with mock.patch.object(reading, "parse", wraps=reading.parse) as parse:
        assert drafting.attachments_of(draft) == files
    assert parse.call_count == 1
