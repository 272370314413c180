"""R28: messages on their way out: at once, or after a while in which their author can take them back.

A message that waits lies in Drafts, as a draft that cannot be changed meanwhile. To take it back removes the message
from the control database, in one transaction that the relay's publishing and a recall can only come before or after;
the draft is then one like any other again.
"""

from datetime import datetime

from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import author_copy_id, is_author_copy, message_of
from mailrecall.mailstore import drafts, residence
from mailrecall.messages import sending as messages
from mailrecall.messages.ids import unused_ids
from mailrecall.messages.sending import AlreadySentError
from mailrecall.wiring import Process
from services.gateway import drafting, sending
from services.gateway.drafting import Saved
from services.gateway.problems import Code, Problem, not_found
from services.gateway.sending import Meanwhile, NewMessage, Outgoing
from services.gateway.settings import GatewaySettings


def send(
    process: Process[GatewaySettings],
    author: Account,
    message: NewMessage,
    *,
    meanwhile: Meanwhile | None = None,
    now: datetime,
) -> Outgoing:
    """Accept a message for delivery; it is durable when this returns.

    Raises:
        Problem: a recipient cannot get it, or it is too large; nothing is stored then.
        psycopg.OperationalError: a database does not answer. What was to wait may be left as a draft: it may have been
            accepted, too, and then it is what can be taken back.
    """
    recipients = sending.resolve(process, message.addressees)
    content = sending.composed(process.settings, author, message, None, now=now)
    delay = sending.delay_of(process, author, message.delay)
    if not delay:
        return sending.accepted(process, author, recipients, content, delay=delay, meanwhile=meanwhile, now=now)
    message_id = _draft(process, author, message, content, now=now)
    return sending.accepted(
        process, author, recipients, content, message_id=message_id, delay=delay, meanwhile=meanwhile, now=now
    )


def take_back(process: Process[GatewaySettings], author: Account, copy_id: int, *, now: datetime) -> Saved | None:
    """Take a message back before it goes out: it becomes a draft again and never appears anywhere.

    Returns:
        the draft; None where its author has thrown it away meanwhile.

    Raises:
        Problem: there is no such message, or it is on its way.
    """
    try:
        with process.databases.control() as control:
            if not is_author_copy(copy_id) or not messages.take_back(control, message_of(copy_id), author.id, now=now):
                raise not_found("message")
    except AlreadySentError:
        raise Problem(
            Code.ALREADY_SENT, "The message is on its way, or was recalled; ask for a recall to get it back."
        ) from None
    with residence.mailbox(process.databases, author) as shard:
        drafts.bring_back(shard, author.id, copy_id)
        left = drafts.find(shard, author.id, copy_id) is not None
    return drafting.find(process, author, copy_id) if left else None


def _draft(
    process: Process[GatewaySettings], author: Account, message: NewMessage, content: bytes, *, now: datetime
) -> int:
    """Keep a message about to be sent as a draft; return the id that both have."""
    with process.databases.control() as control:
        message_id, body_id = unused_ids(control, 2)
    fields = {
        "to": [address.as_written for address in message.to],
        "cc": [address.as_written for address in message.cc],
        "bcc": [address.as_written for address in message.bcc],
        "subject": message.subject,
        "text": message.text,
        "html": message.html,
    }
    with residence.mailbox(process.databases, author) as shard:
        drafts.create(
            shard, author.id, author_copy_id(message_id), drafting.saving(fields, content, body_id, now=now), now=now
        )
    return message_id
