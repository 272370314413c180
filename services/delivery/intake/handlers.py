"""What is decided about each command: the envelope, who may send, and when a message counts as accepted."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailrecall import clock, logs
from mailrecall.directory.lookup import Account
from mailrecall.domain.recalls import Channel
from mailrecall.messages.acceptance import EnvelopeRecipient
from mailrecall.metrics import instruments
from mailrecall.mime import trace
from services.delivery.intake.desk import Arrival, Desk, RefusedError, reverse_path, storable
from services.delivery.intake.protocol import TEMPORARY
from services.delivery.intake.settings import IntakeSettings

log = logs.get(__name__)

T = TypeVar("T")

_EXTENSIONS = (b"250-PIPELINING", b"250-ENHANCEDSTATUSCODES")


class IntakeEnvelope(Envelope):
    """An envelope with its recipients resolved."""

    def __init__(self) -> None:
        super().__init__()
        self.sender = ""
        self.recipients: list[EnvelopeRecipient] = []


class Handler:
    """The commands that submission and LMTP answer alike."""

    channel: Channel
    protocols: tuple[trace.Protocol, trace.Protocol]
    """How a message came in, without and with SMTPUTF8."""

    def __init__(self, desk: Desk, settings: IntakeSettings) -> None:
        self.desk = desk
        self._settings = settings

    def account(self, session: Session) -> Account | None:  # noqa: ARG002 - for those who sign in
        """Return who signed in."""
        return None

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name for it
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[bytes]:
        """Say what is served here."""
        session.host_name = hostname
        first, *others = (response.encode() for response in responses)
        return [first, *_EXTENSIONS, *others]

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name for it
        self, _server: SMTP, session: Session, envelope: IntakeEnvelope, address: str, options: list[str]
    ) -> str:
        """Take the sender."""
        try:
            _refuse_international(envelope, address)
            envelope.sender = reverse_path(address)
            account = self.account(session)
            if account is not None:
                await in_thread(self.desk.check_sender, account, envelope.sender)
        except RefusedError as error:
            return self._refused("MAIL", error)
        except psycopg.Error as error:
            return unavailable("MAIL", error)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Sender accepted"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name for it
        self, _server: SMTP, session: Session, envelope: IntakeEnvelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient."""
        if len(envelope.recipients) >= self._settings.max_recipients:
            return f"452 4.5.3 Too many recipients: {self._settings.max_recipients} are allowed in one message"
        try:
            _refuse_international(envelope, address)
            recipient = await in_thread(self.desk.recipient, address, account=self.account(session))
        except RefusedError as error:
            return self._refused("RCPT", error)
        except psycopg.Error as error:
            return unavailable("RCPT", error)
        envelope.recipients.append(recipient)
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Recipient accepted"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: IntakeEnvelope) -> str:  # noqa: N802
        """Keep a message; answer once it is durable."""
        content = envelope.content
        if not isinstance(content, bytes):
            raise TypeError("aiosmtpd was to leave the content undecoded")
        arrival = Arrival(
            channel=self.channel,
            author=self.account(session),
            envelope_sender=envelope.sender,
            recipients=envelope.recipients,
            content=content,
            client_name=session.host_name or "",
            client_address=str(session.peer[0]) if session.peer else "",
            protocol=self.protocols[envelope.smtp_utf8],
        )
        try:
            message_id = await in_thread(self.desk.keep, arrival, now=clock.now())
        except RefusedError as error:
            return self._refused("DATA", error)
        except psycopg.DataError as error:
            log.error("intake.not_storable", channel=self.channel, failure=type(error).__name__)
            return "554 5.6.0 The message cannot be stored as it is"
        except psycopg.Error as error:
            return unavailable("DATA", error)
        log.info(
            "intake.accepted",
            message_id=message_id,
            channel=self.channel,
            size=len(content),
            recipients=len(envelope.recipients),
        )
        return f"250 2.0.0 Accepted as {message_id}"

    async def handle_exception(self, error: Exception) -> str:
        """Answer an error that nobody foresaw."""
        log.error("intake.failed", **logs.describe(error))
        return TEMPORARY

    def _refused(self, command: str, error: RefusedError) -> str:
        status = error.reply.split(" ", 2)[1]
        instruments.intake_refused(self.channel.value, command, status)
        log.info("intake.refused", channel=self.channel, command=command, status=status)
        return error.reply


def unavailable(command: str, error: psycopg.Error) -> str:
    """Answer that the database did not; the client keeps the message and tries again."""
    log.warning("intake.unavailable", command=command, failure=type(error).__name__)
    return TEMPORARY


async def in_thread(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Wait for work that blocks without blocking the other clients; the loop's executor bounds how much there is."""
    return await asyncio.to_thread(function, *args, **kwargs)


def _refuse_international(envelope: Envelope, address: str) -> None:
    if not address.isascii() and not (envelope.smtp_utf8 and storable(address)):
        raise RefusedError("553 5.6.7 An international address needs SMTPUTF8")
