"""Handing mail for the world outside to the smarthost."""

import re
import smtplib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mailrecall import faultpoints, logs
from mailrecall.faultpoints import Commit
from mailrecall.messages import delivery
from mailrecall.metrics import instruments
from mailrecall.mime import reading, trace
from mailrecall.outbox import store as outbox
from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.delivery.bouncing import bounce_for
from services.delivery.relay_schedule import SHORTEST_PAUSE, next_attempt

log = logs.get(__name__)

_SQL = queries.load(__package__, "relaying.sql")

RECIPIENTS_AT_ONCE = 100
"""What every mail server must take (RFC 5321 section 4.5.3.1.8)."""
_TIMEOUT = 120.0
_BARE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_FIRST_PERMANENT = 500
_OK = 250
_ACCEPTED = (250, 251)
_CLOSING = 421
_NO_ANSWER = "the next host did not answer"
# delivery time expired (RFC 3463 section 3.5)
_EXPIRED = "550 5.4.7 Given up after many attempts; at last: {}"


class RelayDeferredError(Exception):
    """Some recipients are still to be relayed to: the smarthost did not answer, or not finally.

    `again_at` is when to try the next time.
    """

    def __init__(self, message: str, again_at: datetime) -> None:
        super().__init__(message)
        self.again_at = again_at


@dataclass(slots=True)
class _Results:
    refused: dict[str, str] = field(default_factory=dict)
    deferred: dict[str, str] = field(default_factory=dict)
    relayed: int = 0


def relay_message(process: Process[Settings], *, message_id: int, work_id: int, now: datetime) -> None:
    """Hand a message to the smarthost for its external recipients; what it puts off is tried again later."""
    try:
        relay(process.databases, process.settings, message_id, now=now)
    except RelayDeferredError as deferred:
        with process.databases.control() as connection:
            outbox.put_off(connection, work_id, type(deferred).__name__, due_at=deferred.again_at)
        return
    with process.databases.control() as connection:
        delivery.record_relay(connection, message_id, now=now)
        outbox.finish(connection, work_id)
        faultpoints.before(Commit.RELAY_RECORD)
    faultpoints.after(Commit.RELAY_RECORD)


def relay(databases: Databases, settings: Settings, message_id: int, *, now: datetime) -> None:
    """Hand a message to the smarthost for those external recipients that are left.

    Each group of recipients is recorded as soon as the smarthost has taken the message for it, so that a second run
    sends only to the others. Who was refused for good, or put off until nobody waits any longer, is recorded with the
    smarthost's words, and the sender gets one bounce for all of them. Only a run that died between the smarthost's
    answer and the record of it is repeated there.

    Raises:
        RelayDeferredError: recipients are left, to be tried again.
    """
    with databases.control() as guard:
        locked = guard.execute(_SQL["try_lock"], {"message_id": message_id}).fetchone()
        if locked is None or not locked[0]:
            raise RelayDeferredError("Another worker is relaying this message.", now + SHORTEST_PAUSE)
        with databases.control() as connection:
            rows = connection.execute(_SQL["recipients_left"], {"message_id": message_id}).fetchall()
            row = connection.execute(_SQL["message_to_relay"], {"message_id": message_id}).fetchone()
        if not rows:
            return
        if row is None:
            raise LookupError(f"Message {message_id} has no content left to relay.")
        sender, content, since = row
        give_up_at = since + timedelta(seconds=settings.relay_give_up)
        handover = _Handover(databases, settings, message_id, sender, _for_the_wire(bytes(content)), now)
        results = handover.run([address for (address,) in rows])
        if now >= give_up_at:
            results.refused |= {address: _EXPIRED.format(said) for address, said in results.deferred.items()}
            results.deferred = {}
        handover.record_refusals(results.refused)
    instruments.relayed({"taken": results.relayed, "refused": len(results.refused), "deferred": len(results.deferred)})
    log.info(
        "relay.ran",
        message_id=message_id,
        relayed=results.relayed,
        refused=len(results.refused),
        deferred=len(results.deferred),
    )
    if results.deferred:
        again_at = next_attempt(since, now=now, give_up_at=give_up_at)
        raise RelayDeferredError(f"{len(results.deferred)} recipients are left.", again_at)


@dataclass(frozen=True, slots=True)
class _Handover:
    """One run for one message."""

    databases: Databases
    settings: Settings
    message_id: int
    sender: str
    content: bytes
    now: datetime

    def run(self, addresses: Sequence[str]) -> _Results:
        results = _Results()
        if not self.settings.smarthost:
            results.refused = dict.fromkeys(addresses, "550 5.7.1 This host sends no mail to other hosts")
            return results
        host, _, port = self.settings.smarthost.rpartition(":")
        left = list(addresses)
        try:
            with smtplib.SMTP(
                host.strip("[]"), int(port), local_hostname=self.settings.hostname, timeout=_TIMEOUT
            ) as session:
                session.ehlo_or_helo_if_needed()
                for some in self._portions(addresses):
                    self._send(session, some, results)
                    left = [address for address in left if address not in set(some)]
        # a connection that broke says nothing about those it was not asked for, or not answered
        except (OSError, smtplib.SMTPException) as error:
            log.warning("relay.interrupted", message_id=self.message_id, failure=type(error).__name__)
            for address in left:
                if address not in results.refused:
                    results.deferred.setdefault(address, _NO_ANSWER)
        return results

    def _portions(self, addresses: Sequence[str]) -> Iterator[Sequence[str]]:
        """Divide the recipients; one whose address needs SMTPUTF8 must not spoil it for the others."""
        for international in (False, True):
            group = [address for address in addresses if address.isascii() != international]
            for start in range(0, len(group), RECIPIENTS_AT_ONCE):
                yield group[start : start + RECIPIENTS_AT_ONCE]

    def _send(self, session: smtplib.SMTP, addresses: Sequence[str], results: _Results) -> None:
        options = self._options(session, addresses)
        if options is None:
            results.refused.update(
                dict.fromkeys(addresses, "553 5.6.7 The next host takes no international addresses (SMTPUTF8)")
            )
            return
        answer = session.mail(self.sender, options)
        if answer[0] != _OK:
            self._classify(answer, addresses, results)
            session.rset()
            return
        taken: list[str] = []
        for address in addresses:
            answer = session.rcpt(address)
            if answer[0] in _ACCEPTED:
                taken.append(address)
            else:
                self._classify(answer, [address], results)
        if not taken:
            session.rset()
            return
        try:
            answer = session.data(self.content)
        except smtplib.SMTPDataError as error:
            answer = (error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else b"")
        if answer[0] != _OK:
            self._classify(answer, taken, results)
            # a host that refused DATA before the content keeps the transaction, and refuses the next MAIL within it
            session.rset()
            return
        with self.databases.control() as connection:
            parameters = {"message_id": self.message_id, "addresses": taken, "now": self.now}
            connection.execute(_SQL["relayed"], parameters)
            faultpoints.before(Commit.RELAY)
        faultpoints.after(Commit.RELAY)
        results.relayed += len(taken)

    def _options(self, session: smtplib.SMTP, addresses: Sequence[str]) -> list[str] | None:
        """Return the parameters of MAIL, or None when the next host cannot take this message for them."""
        header_is_ascii = reading.header_section(self.content).isascii()
        international = not (header_is_ascii and self.sender.isascii() and all(map(str.isascii, addresses)))
        if international and not session.has_extn("smtputf8"):
            # a raw 8-bit header in mail that never needed SMTPUTF8 is a fault every relay lets pass
            if not (self.sender.isascii() and all(map(str.isascii, addresses))):
                return None
            international = False
        options = [f"SIZE={len(self.content)}"] if session.has_extn("size") else []
        if not self.content.isascii() and session.has_extn("8bitmime"):
            options.append("BODY=8BITMIME")
        return [*options, "SMTPUTF8"] if international else options

    def _classify(self, answer: tuple[int, bytes], addresses: Sequence[str], results: _Results) -> None:
        code, said = answer
        if code == _CLOSING:
            raise smtplib.SMTPServerDisconnected("The smarthost is closing.")
        if code >= _FIRST_PERMANENT:
            results.refused.update(dict.fromkeys(addresses, _one_line(code, said)))
        else:
            results.deferred.update(dict.fromkeys(addresses, _one_line(code, said)))

    def record_refusals(self, refused: dict[str, str]) -> None:
        """Record who was refused, and bounce to the sender in the same transaction."""
        if not refused:
            return
        with self.databases.control() as connection:
            parameters = {
                "message_id": self.message_id,
                "addresses": list(refused),
                "failures": list(refused.values()),
            }
            new = dict(connection.execute(_SQL["refused"], parameters).fetchall())
            bounce_for(connection, self.message_id, new, now=self.now, hostname=self.settings.hostname)
            faultpoints.before(Commit.REFUSE)
        faultpoints.after(Commit.REFUSE)


def _for_the_wire(content: bytes) -> bytes:
    """Return the bytes as another host may see them.

    Bare CR and LF must not be sent (RFC 5321 section 2.3.8): a host that takes them for line ends could be made to see
    two messages where there is one.
    """
    return _BARE_LINE_END.sub(b"\r\n", trace.without_return_path(content))


def _one_line(code: int, said: bytes) -> str:
    text = said.decode("utf-8", "replace").replace("\x00", "")
    return f"{code} {' '.join(text.split())}"[:500].strip()
