"""What intake asks of the control database: who someone is, where an address leads, and to keep a message.

These functions wait for the database; intake calls them in threads.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailrecall.directory import guessing, lookup
from mailrecall.directory.guessing import Throttled
from mailrecall.directory.lookup import Account, Resolution
from mailrecall.domain.addresses import Address, AddressError
from mailrecall.domain.recalls import Channel
from mailrecall.messages.acceptance import Author, EnvelopeRecipient, Incoming, accept
from mailrecall.mime import trace
from mailrecall.mime.summary import summarise
from mailrecall.postgres.databases import Databases
from services.delivery.intake.settings import IntakeSettings

_POSTMASTER = "postmaster"
# What may stand in a reverse-path of another host, quoted local parts included; nothing that could end a header line.
_REVERSE_PATH = re.compile(r"[^\x00-\x20\x7f<>]{1,254}|\"[^\x00-\x1f\x7f<>]{0,64}\"@[^\x00-\x20\x7f<>]{1,255}")


class RefusedError(Exception):
    """The client's request cannot be granted; `reply` is what it is told."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A message as a client handed it over."""

    channel: Channel
    author: Account | None
    envelope_sender: str
    recipients: Sequence[EnvelopeRecipient]
    content: bytes
    client_name: str
    client_address: str
    protocol: trace.Protocol


class Desk:
    """Intake's side of the control database."""

    def __init__(self, databases: Databases, settings: IntakeSettings) -> None:
        self._databases = databases
        self._settings = settings

    def sign_in(self, login: bytes, password: bytes, *, origin: str, now: datetime) -> Account | Throttled | None:
        """Return the account that an address and a password belong to, or how long its password has to wait.

        Args:
            login: the address as the client gave it.
            password: as the client gave it.
            origin: the client's network address; empty where that is not known.
            now: the present moment.
        """
        try:
            address, secret = login.decode(), password.decode()
        except UnicodeDecodeError:
            return None
        limit = self._settings.password_guesses
        return guessing.sign_in(self._databases, address, secret, origin=origin, limit=limit, now=now)

    def check_sender(self, account: Account, envelope_sender: str) -> None:
        """Make sure that an account sends under an address of its own.

        A null reverse-path is nobody's and allowed: mail programs need it (RFC 6409 section 3.2).

        Raises:
            RefusedError: it does not, or the account was closed since it signed in.
        """
        with self._databases.control() as connection:
            if envelope_sender:
                try:
                    owner = lookup.account_by_address(connection, Address.parse(envelope_sender))
                except AddressError:
                    owner = None
            else:
                owner = lookup.account_by_id(connection, account.id)
        if owner is None or owner.id != account.id:
            raise RefusedError("553 5.7.1 That address is not yours: send from your own address or an alias of it")
        if owner.closed:
            raise RefusedError("550 5.7.1 Your account was closed")

    def recipient(self, text: str, *, account: Account | None) -> EnvelopeRecipient:
        """Return where an address of the envelope leads.

        Args:
            text: the address as the client gave it.
            account: who submits; None for mail from elsewhere, which is for mailboxes here only.

        Raises:
            RefusedError: it leads nowhere, or out of here when it must not.
        """
        if text.casefold() == _POSTMASTER:
            return self._postmaster()
        try:
            address = Address.parse(text)
        except AddressError:
            raise RefusedError("553 5.1.3 That is no mail address this host can deliver to") from None
        with self._databases.control() as connection:
            resolution = lookup.resolve(connection, [address])[address]
        match resolution.kind:
            case "account" | "group":
                return EnvelopeRecipient(str(address), resolution.kind, resolution.account_id, resolution.group_id)
            case "closed":
                raise RefusedError("550 5.2.1 That mailbox is closed")
            case "unknown":
                raise RefusedError("550 5.1.1 There is no mailbox of that name here")
            case "external":
                return self._external(address, account)

    def _external(self, address: Address, account: Account | None) -> EnvelopeRecipient:
        if account is None:
            raise RefusedError("550 5.7.1 Relaying denied: there are no mailboxes of that domain here")
        if not self._settings.smarthost:
            raise RefusedError("550 5.7.1 This host sends no mail to other hosts: no smarthost is set")
        return EnvelopeRecipient(address.as_written, "external")

    def _postmaster(self) -> EnvelopeRecipient:
        """Find who gets mail to a plain `postmaster` (RFC 5321 section 4.5.1)."""
        if self._settings.postmaster:
            candidates = [Address.parse(self._settings.postmaster)]
        else:
            labels = self._settings.hostname.split(".")
            candidates = [Address(_POSTMASTER, ".".join(labels[start:]).lower()) for start in range(len(labels))]
        with self._databases.control() as connection:
            found: dict[Address, Resolution] = lookup.resolve(connection, candidates)
        for candidate in candidates:
            resolution = found[candidate]
            if resolution.kind == "account" or resolution.kind == "group":  # noqa: PLR1714 - narrows the type
                return EnvelopeRecipient(str(candidate), resolution.kind, resolution.account_id, resolution.group_id)
        raise RefusedError("550 5.1.1 There is no postmaster here: write to postmaster@ a domain")

    def keep(self, arrival: Arrival, *, now: datetime) -> int:
        """Store a message so that it will be delivered; return its id once that is durable.

        Raises:
            RefusedError: it runs in a loop.
        """
        if trace.hops(arrival.content) > self._settings.max_hops:
            raise RefusedError("554 5.4.6 This message has been through too many hosts: it runs in a loop")
        content = self._trace_fields(arrival, now) + arrival.content
        incoming = Incoming(
            author=Author(arrival.author.id, arrival.author.organisation_id, arrival.author.shard)
            if arrival.author
            else None,
            envelope_sender=arrival.envelope_sender,
            channel=arrival.channel,
            content=content,
            summary=summarise(content),
            recipients=arrival.recipients,
            file_author_copy=arrival.author is not None,
        )
        with self._databases.control() as connection:
            return accept(connection, incoming, now=now)

    def _trace_fields(self, arrival: Arrival, now: datetime) -> bytes:
        hostname = self._settings.hostname
        received = trace.received(
            client_name=arrival.client_name,
            client_address=arrival.client_address,
            hostname=hostname,
            protocol=arrival.protocol,
            identifier=secrets.token_hex(8),
            now=now,
        )
        if arrival.author is None:
            return trace.return_path(arrival.envelope_sender) + received
        return received + trace.missing_fields(arrival.content, now=now, hostname=hostname)


def reverse_path(address: str) -> str:
    """Return the envelope sender that a client gave, empty for `<>`.

    Raises:
        RefusedError: it is none.
    """
    if address == "<>":
        return ""
    if not _REVERSE_PATH.fullmatch(address) or not storable(address):
        raise RefusedError("553 5.1.7 That is no mail address")
    return address


def storable(address: str) -> bool:
    """Tell whether an address is text at all: what the client sent may not even be UTF-8."""
    try:
        address.encode()
    except UnicodeEncodeError:
        return False
    return True
