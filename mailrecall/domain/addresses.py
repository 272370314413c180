"""Mail addresses as the directory compares them."""

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache

import idna

LONGEST_ADDRESS = 254
LONGEST_LOCAL_PART = 64
LONGEST_DOMAIN = 253

# The dot-atom of RFC 5322 with the letters of RFC 6531; quoted local parts are not given to anyone here.
_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f\"(),:;<>@\[\]\\.]+(\.[^\s\x00-\x1f\x7f\"(),:;<>@\[\]\\.]+)*")
_DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.ASCII)


class AddressError(ValueError):
    """The text is no mail address; the message says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mail address in the form the directory stores: both parts folded to one case, the domain in its ASCII form.

    Folding the local part is this platform's choice (RFC 5321 section 2.4 leaves it to the receiving host).
    """

    local: str
    domain: str
    written: str = field(default="", compare=False)
    """The local part as it was given, which another host may tell from the folded one."""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read an address.

        Raises:
            AddressError: it has no local part or domain, or characters that neither may have.
        """
        local, at, domain = text.strip().rpartition("@")
        if not at or not local or not domain:
            raise AddressError(f"{_shown(text)} is no mail address: it needs a name, an @ and a domain.")
        written, local = local, local.lower() if local.isascii() else _folded(local)
        if not _LOCAL.fullmatch(local):
            raise AddressError(f"{_shown(text)} is no mail address: the name has characters it cannot have.")
        address = cls(local, canonical_domain(domain), written)
        # both limits are octets (RFC 5321 section 4.5.3.1)
        if len(local.encode()) > LONGEST_LOCAL_PART or len(str(address).encode()) > LONGEST_ADDRESS:
            raise AddressError("That mail address is too long.")
        return address

    @property
    def without_tag(self) -> "Address":
        """R1: `name+tag@domain` belongs to `name@domain`."""
        name, plus, _tag = self.local.partition("+")
        return Address(name, self.domain) if plus and name else self

    @property
    def as_written(self) -> str:
        """The address for a host elsewhere: with its local part as it was given (RFC 5321 section 2.4)."""
        return f"{self.written or self.local}@{self.domain}"

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


@lru_cache(maxsize=4096)
def canonical_domain(text: str) -> str:
    """Return the one spelling under which a domain is stored: lower case, international labels as `xn--…` (RFC 5891).

    Raises:
        AddressError: it is no domain name.
    """
    domain = text.strip().lower()
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except UnicodeError as error:
            raise AddressError(f"{_shown(text)} is no domain: {error}.") from None
    if len(domain) > LONGEST_DOMAIN or not _DOMAIN.fullmatch(domain):
        raise AddressError(f"{_shown(text)} is no domain.")
    return domain


def _shown(text: str) -> str:
    """Return what somebody sent in a form that is safe in an error message: on one line, and not endless."""
    return ascii(text if len(text) <= LONGEST_ADDRESS else text[:40] + "…")


def _folded(local: str) -> str:
    """Return an international local part folded to one case, in its composed form (RFC 6532 section 3.1).

    Characters nobody can see, such as a change of writing direction, would make two addresses look the same.
    """
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cn", "Co", "Cs"} for character in local):
        raise AddressError("A mail address cannot have characters that are not shown.")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", local).casefold())
