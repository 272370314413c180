"""Messages of any shape: reading them never fails, takes little time, and gives what can be stored and shown."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from time import thread_time

from mailrecall.mime import sections
from mailrecall.mime.parts import attachment_contents, attachments, readable
from mailrecall.mime.summary import searchable_text, summarise
from services.gateway.pages import html_mail
from tests.fuzz.inputs import INPUTS, MESSAGES, drawn_out, numbered, rounds

SECONDS = 1.0
"""Of the processor, for all that is done with one message: ordinary ones take a few milliseconds."""
LONG = 200_000
"""Octets of those that are drawn out, of which there are fewer."""
SECONDS_FOR_LONG = 5.0
_AT_A_TIME = 50


def test_no_message_fails_to_be_read():
    with ProcessPoolExecutor() as processes:
        for some in rounds(range(INPUTS)):
            parts = [some[start : start + _AT_A_TIME] for start in range(0, len(some), _AT_A_TIME)]
            assert [content for wrong in processes.map(_wrong, parts) for content in wrong] == []


def test_no_long_message_takes_by_the_square_of_its_length():
    with ProcessPoolExecutor() as processes:
        for some in rounds(range(max(20, INPUTS // 50))):
            assert [content for wrong in processes.map(_wrong_with_long, some) for content in wrong] == []


def _wrong(numbers: Sequence[int]) -> list[tuple[str, bytes]]:
    """Read the messages of these numbers; give what is wrong with which."""
    return _failures(numbered(MESSAGES, salt="mime", numbers=numbers), SECONDS)


def _wrong_with_long(number: int) -> list[tuple[str, bytes]]:
    """Read the long message of a number; give what is wrong with it, and its beginning."""
    long = drawn_out(MESSAGES, octets=LONG, salt="long", numbers=[number])
    return [(f"number {number}: {error}", content[:500]) for error, content in _failures(long, SECONDS_FOR_LONG)]


def _failures(messages: Iterable[bytes], seconds: float) -> list[tuple[str, bytes]]:
    found = []
    for content in messages:
        try:
            _read(content, seconds)
        except Exception as error:  # noqa: BLE001 - whatever it is, no message may cause it
            found.append((repr(error), content))
    return found


def _read(content: bytes, seconds: float) -> None:
    started = thread_time()
    summary, shown = summarise(content), readable(content)
    words = searchable_text(content)
    html = html_mail.clean(shown.html, {}).html if shown.html else ""
    sections.parse(content)
    listed = attachments(content)
    taken = list(attachment_contents(content))
    took = thread_time() - started
    if took > seconds:
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
