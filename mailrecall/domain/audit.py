"""R30: what makes a message wait for a moderator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

LONGEST_KEYWORD = 200
LARGEST_GROUP = 1_000_000


class Hold(StrEnum):
    """Where a message that had to wait stands. From `held` it moves once, and never again."""

    HELD = "held"
    RELEASED = "released"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    """Recalled while it waited: it never appears anywhere (R16)."""

    @property
    def ended(self) -> bool:
        """Whether nobody will ever get the message."""
        return self in (Hold.REJECTED, Hold.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What one rule asks for; all that it names must be so. It names something."""

    group_size: int | None = None
    """The message's groups lead to at least so many accounts, each counted once."""
    sender: str | None = None
    """An address of the sender's, or `@` and a domain."""
    keyword: str | None = None
    """Stands in the subject or the text, in whatever case."""
    external: bool = False
    """Some recipient is outside this platform."""

    def __post_init__(self) -> None:
        if not self.external and self.group_size is None and not self.sender and not self.keyword:
            raise ValueError("A rule names at least one of group_size, sender, keyword and external.")


@dataclass(frozen=True, slots=True)
class Traits:
    """What a message shows of itself; what costs something to find out is asked for only when a rule needs it."""

    senders: frozenset[str]
    """The sender's addresses, in lower case."""
    reach: Callable[[], tuple[int, int]]
    """Gives how many accounts its groups lead to, and how many recipients are outside."""
    text: Callable[[], str]
    """Gives subject and text."""


def first_match(rules: Sequence[tuple[str, Criteria]], traits: Traits) -> str | None:
    """Return the name of the first rule that a message meets, or None when it meets none."""
    return next((name for name, criteria in rules if _met(criteria, traits)), None)


def _met(criteria: Criteria, traits: Traits) -> bool:
    if criteria.sender is not None and not _sent_by(criteria.sender, traits.senders):
        return False
    if criteria.group_size is not None and traits.reach()[0] < criteria.group_size:
        return False
    if criteria.external and traits.reach()[1] == 0:
        return False
    return criteria.keyword is None or _folded(criteria.keyword) in _folded(traits.text())


def _sent_by(sender: str, addresses: frozenset[str]) -> bool:
    if sender.startswith("@"):
        return any(address.endswith(sender) for address in addresses)
    return sender in addresses


def _folded(text: str) -> str:
    # a keyword is found across a line's end too
    return " ".join(text.casefold().split())
