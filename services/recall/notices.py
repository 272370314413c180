"""R17: the short notice that takes a withdrawn copy's place where the organisation's policy wants one."""

from typing import Any

from psycopg import Connection

from mailrecall.mailstore.batch import Notice
from mailrecall.mailstore.deposit import ListedMessage
from mailrecall.mime.compose import Composition, compose
from mailrecall.mime.summary import summarise
from mailrecall.recalls.progress import PlannedBatch, author_address
from mailrecall.settings import Settings

_SUBJECT = "Message recalled / 邮件已撤回"
# in both languages: one notice is stored per shard, whoever reads it; the reason is never shown to recipients (R11)
_TEXT = """The sender has recalled a message that was here. There is nothing for you to do.

发件人已撤回此处的一封邮件。您无需进行任何操作。
"""


def notice_for(connection: Connection[Any], batch: PlannedBatch, settings: Settings) -> Notice | None:
    """Write the notice of a recall, or return None where the policy wants none."""
    if batch.notice_message_id is None:
        return None
    content = compose(
        Composition(
            from_address=author_address(connection, batch.message_id),
            subject=_SUBJECT,
            text=_TEXT,
            auto_submitted=True,
        ),
        now=batch.requested_at,
        hostname=settings.hostname,
    )
    summary = summarise(content)
    return Notice(
        batch.notice_message_id,
        ListedMessage(
            accepted_at=batch.requested_at,
            size=len(content),
            from_header=summary.from_header,
            to_header=summary.to_header,
            subject=summary.subject,
            preview=summary.preview,
            attachments=0,
        ),
        content,
    )
