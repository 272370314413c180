"""Mail addresses as the directory compares them."""

import re
from dataclasses import dataclass

LONGEST_ADDRESS = 254
LONGEST_LOCAL_PART = 64

# The dot-atom of RFC 5322 with the letters of RFC 6531; quoted local parts are not given to anyone here.
_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f\"(),:;<>@\[\]\\.]+(\.[^\s\x00-\x1f\x7f\"(),:;<>@\[\]\\.]+)*")
_LABEL = re.compile(r"[^\W_]([^\W_]|-)*(?<!-)", re.UNICODE)


class AddressError(ValueError):
    """The text is no mail address; the message says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mail address in the form the directory stores: the domain in lower case, the local part folded likewise.

    Folding the local part is this platform's choice (RFC 5321 section 2.4 leaves it to the receiving host).
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read an address.

        Raises:
            AddressError: it has no local part or domain, or characters that neither may have.
        """
        local, at, domain = text.strip().rpartition("@")
        if not at or not local or not domain:
            raise AddressError(f"'{text}' is no mail address: it needs a name, an @ and a domain.")
        if len(text) > LONGEST_ADDRESS or len(local.encode()) > LONGEST_LOCAL_PART:
            raise AddressError("That mail address is too long.")
        if not _LOCAL.fullmatch(local):
            raise AddressError(f"'{text}' is no mail address: '{local}' has characters a name cannot have.")
        if not all(_LABEL.fullmatch(label) and len(label) <= 63 for label in domain.split(".")):  # noqa: PLR2004 - RFC 1035
            raise AddressError(f"'{text}' is no mail address: '{domain}' is no domain.")
        return cls(local.casefold(), domain.casefold())

    @property
    def without_tag(self) -> "Address":
        """R1: `name+tag@domain` belongs to `name@domain`."""
        name, plus, _tag = self.local.partition("+")
        return Address(name, self.domain) if plus and name else self

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"
