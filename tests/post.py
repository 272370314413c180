"""Any octets as a message between the people of a test's company, delivered."""

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.recalls import Channel
from mailrecall.messages.acceptance import Incoming, accept
from mailrecall.mime.summary import summarise
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import dispatch
from tests.correspondence import addressee, author


def deliver(databases: Databases, settings: Settings, content: bytes, sender: Account, *to: Account) -> int:
    """Have a message delivered; its id."""
    incoming = Incoming(
        author=author(sender),
        envelope_sender=sender.address,
        channel=Channel.WEBMAIL,
        content=content,
        summary=summarise(content),
        recipients=[addressee(who) for who in to],
    )
    with databases.control() as connection:
        message_id = accept(connection, incoming, now=clock.now())
    dispatch.run(Process(settings, databases))
    return message_id
