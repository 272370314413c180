"""Bounces: delivery status notifications as RFC 3464 has them. They are sent with a null reverse-path."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, Literal

from mailrecall.mime import headers, reading
from mailrecall.mime.compose import new_message_id
from mailrecall.mime.headers import Mailbox

_LONGEST_LINE = 990

MOST_LISTED = 1_000
"""Recipients that one bounce lists; beyond them it gives their number."""

_STATUS = re.compile(r"\b5\.\d{1,3}\.\d{1,3}\b")
_REPLY_CODE = re.compile(r"5\d\d\b")
_ASCII = SMTP.clone(cte_type="7bit")
# an address in a status field must stay as it is, where the package would rather encode it than let a line grow
_UNFOLDED = _ASCII.clone(max_line_length=_LONGEST_LINE)

_SUBJECT = {"en": "Undelivered: your message could not be delivered", "zh": "退信：您的邮件未能送达"}
_TEXT = {
    "en": "Your message could not be delivered to the addresses below. Nobody will try again.",
    "zh": "您的邮件未能送达以下地址，系统不会再次尝试投递。",
}
_MORE = {"en": "... and {} more.", "zh": "……以及另外 {} 个地址。"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """A message that failed for some of its recipients."""

    sender: str
    """The envelope's: where the bounce goes."""
    content: bytes
    """The message, or its beginning: the header fields are returned, the text is not."""
    failures: Mapping[str, str]
    """For each address what was said of it, such as `550 5.1.1 No such mailbox`."""
    arrived_at: datetime
    language: Literal["en", "zh"] = "en"


def bounce(undelivered: Undelivered, *, now: datetime, hostname: str) -> bytes:
    """Write a bounce. Its envelope sender must be empty, so that it never bounces itself."""
    fields = [
        headers.plain("Date", format_datetime(now)),
        headers.plain("Message-ID", new_message_id(hostname)),
        headers.addresses("From", [Mailbox(f"mailer-daemon@{hostname}", "Mail Delivery System")]),
        headers.addresses("To", [Mailbox(undelivered.sender)]),
        headers.unstructured("Subject", _SUBJECT[undelivered.language]),
        headers.plain("Auto-Submitted", "auto-replied"),
    ]
    report = EmailMessage(policy=_ASCII)
    report["MIME-Version"] = "1.0"
    report["Content-Type"] = 'multipart/report; report-type="delivery-status"'
    report.attach(_notice(undelivered))
    report.attach(_status(undelivered, now, hostname))
    report.attach(_original(undelivered.content))
    return b"".join(fields) + report.as_bytes(policy=_UNFOLDED)


def _notice(undelivered: Undelivered) -> EmailMessage:
    listed = [
        f"<{address}>: {_single_line(said)}" for address, said in list(undelivered.failures.items())[:MOST_LISTED]
    ]
    more = len(undelivered.failures) - len(listed)
    lines = [_TEXT[undelivered.language], "", *listed]
    if more:
        lines.append(_MORE[undelivered.language].format(more))
    part = EmailMessage(policy=_ASCII)
    part.set_content("\n".join(lines) + "\n")
    return part


def _status(undelivered: Undelivered, now: datetime, hostname: str) -> EmailMessage:
    blocks: Any = [
        _block(("Reporting-MTA", f"dns; {hostname}"), ("Arrival-Date", format_datetime(undelivered.arrived_at)))
    ]
    for address, said in list(undelivered.failures.items())[:MOST_LISTED]:
        status = _STATUS.search(said)
        diagnostic = _single_line(said)
        blocks.append(
            _block(
                ("Final-Recipient", _recipient(address)),
                ("Action", "failed"),
                ("Status", status[0] if status else "5.0.0"),
                ("Diagnostic-Code", f"{'smtp' if _REPLY_CODE.match(diagnostic) else 'x-mailrecall'}; {diagnostic}"),
                ("Last-Attempt-Date", format_datetime(now)),
            )
        )
    part = EmailMessage(policy=_ASCII)
    part["Content-Type"] = "message/delivery-status"
    part.set_payload(blocks)
    return part


def _block(*fields: tuple[str, str]) -> EmailMessage:
    block = EmailMessage(policy=_ASCII)
    for name, value in fields:
        block[name] = value
    return block


def _recipient(address: str) -> str:
    if address.isascii():
        return f"rfc822; {address}"
    # the 7-bit form of an international address (RFC 6533 section 3)
    return "utf-8; " + "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in address)


def _single_line(said: str) -> str:
    text = "".join(character if character.isprintable() else " " for character in said)
    return " ".join(text.encode("ascii", "replace").decode().split())[:500]


def _original(content: bytes) -> EmailMessage:
    part = EmailMessage(policy=_ASCII)
    section = reading.header_section(content)
    part.set_content(
        section, maintype="text", subtype="rfc822-headers", cte="base64" if _needs_base64(section) else "7bit"
    )
    return part


def _needs_base64(section: bytes) -> bool:
    return not section.isascii() or b"\x00" in section or max(map(len, section.splitlines()), default=0) > _LONGEST_LINE
