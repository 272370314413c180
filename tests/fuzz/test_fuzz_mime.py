"""Messages of any shape: reading them never fails, takes little time, and gives what can be stored and shown."""

from itertools import chain
from time import thread_time

from mailrecall.mime.parts import attachment_content, attachments, readable
from mailrecall.mime.summary import summarise
from tests.fuzz.inputs import MESSAGES, numbered, rounds

SECONDS = 5.0
"""Of the processor, for one message: ordinary ones take a few milliseconds."""


def test_no_message_fails_to_be_read():
    for content in chain.from_iterable(rounds(numbered(MESSAGES, salt="mime"))):
        started = thread_time()
        summary = summarise(content)
        shown = readable(content)
        for number, _ in enumerate(attachments(content)):
            attachment_content(content, number)
        assert thread_time() - started < SECONDS, content
        for text in (summary.subject, summary.preview, summary.from_header, summary.to_header, shown.text or ""):
            assert "\0" not in text, content
            text.encode("utf-8")
