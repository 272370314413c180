"""LMTP (RFC 2033): mail for mailboxes here, from the mail server in front, which has checked what there is to check."""

from aiosmtpd.lmtp import LMTP

from mailrecall.domain.recalls import Channel
from mailrecall.mime import trace
from services.delivery.intake.handlers import Handler, IntakeEnvelope
from services.delivery.intake.protocol import IntakeProtocol


class LmtpHandler(Handler):
    """Decides for a mail server."""

    channel = Channel.LMTP
    protocols = (trace.Protocol.LMTP, trace.Protocol.UTF8LMTP)


class LmtpProtocol(IntakeProtocol, LMTP):
    """A mail server's connection."""

    def _create_envelope(self) -> IntakeEnvelope:
        return IntakeEnvelope()

    def replies(self, reply: str, recipients: int) -> list[str]:
        """Answer once for each recipient that was accepted (RFC 2033 section 4.2): all of them share one fate."""
        return [reply] * recipients
