"""Messages of any shape: reading them never fails, takes little time, and gives what can be stored and shown."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from time import thread_time

from mailrecall.mime import sections
from mailrecall.mime.parts import attachment_contents, attachments, readable
from mailrecall.mime.summary import searchable_text, summarise
from services.gateway.pages import html_mail
from tests.fuzz.inputs import INPUTS, MESSAGES, numbered, rounds

SECONDS = 1.0
"""Of the processor, for all that is done with one message: ordinary ones take a few milliseconds."""
_AT_A_TIME = 50


def test_no_message_fails_to_be_read():
    with ProcessPoolExecutor() as processes:
        for some in rounds(range(INPUTS)):
            parts = [some[start : start + _AT_A_TIME] for start in range(0, len(some), _AT_A_TIME)]
            assert [content for wrong in processes.map(_wrong, parts) for content in wrong] == []


def _wrong(numbers: Sequence[int]) -> list[tuple[str, bytes]]:
    """Read the messages of these numbers; give what is wrong with which."""
    found = []
    for content in numbered(MESSAGES, salt="mime", numbers=numbers):
        try:
            _read(content)
        except Exception as error:  # noqa: BLE001 - whatever it is, no message may cause it
            found.append((repr(error), content))
    return found


def _read(content: bytes) -> None:
    started = thread_time()
    summary, shown = summarise(content), readable(content)
    words = searchable_text(content)
    html = html_mail.clean(shown.html, {}).html if shown.html else ""
    sections.parse(content)
    listed = attachments(content)
    taken = list(attachment_contents(content))
    took = thread_time() - started
    if took > SECONDS:
        raise AssertionError(f"it took {took:.1f} s")
    if listed != [attachment for attachment, _ in taken] or len(listed) != summary.attachments:
        raise AssertionError("it has now these attachments, now others")
    for text in (
        summary.subject,
        summary.preview,
        summary.from_header,
        summary.to_header,
        shown.text or "",
        words,
        html,
    ):
        text.encode("utf-8")
        if "\0" in text:
            raise AssertionError("it has a NUL")
