"""An organisation's switches, typed, with their defaults and bounds (the rules that name them are given)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import IntEnum, StrEnum

HOUR = 3600
DAY = 24 * HOUR
LONGEST_WINDOW = 15 * DAY
LONGEST_RETENTION = 90 * DAY
MOST_COPIES = 100_000_000
MOST_RECALLS_PER_HOUR = 1_000_000


class PolicyError(ValueError):
    """A switch that does not exist, or a value out of its range; the message says what would be right."""


class Scope(StrEnum):
    """R1: how far apart sender and recipient may be."""

    DOMAIN = "domain"
    ORGANISATION = "organisation"
    PLATFORM = "platform"


class Kinship(IntEnum):
    """How near a local recipient is to the sender; stored with each delivery."""

    SAME_DOMAIN = 0
    SAME_ORGANISATION = 1
    SAME_PLATFORM = 2


class GroupMode(StrEnum):
    """R13: what a group's recall does when some members' copies must stay."""

    EACH = "each"
    ALL_OR_NOTHING = "all_or_nothing"


FURTHEST_IN_SCOPE: Mapping[Scope, Kinship] = {
    Scope.DOMAIN: Kinship.SAME_DOMAIN,
    Scope.ORGANISATION: Kinship.SAME_ORGANISATION,
    Scope.PLATFORM: Kinship.SAME_PLATFORM,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One organisation's switches. Durations are whole seconds."""

    scope: Scope = Scope.ORGANISATION
    """R1: the domains in which a recipient counts as internal."""
    window_user: int = 24 * HOUR
    """R3: how long a user may recall, in seconds."""
    window_admin: int = 7 * DAY
    """R3: how long an administrator may recall, in seconds."""
    recall_any_channel_admin: bool = False
    """R6: lets administrators recall what did not come from webmail."""
    group_mode: GroupMode = GroupMode.EACH
    """R13."""
    tombstone: bool = False
    """R17: leaves a short notice where a copy was taken."""
    notify_author: bool = False
    """R18: the author of a message that an administrator recalled gets a report too."""
    approval_above: int = 10_000
    """R21: an administrator's recall of more copies than this waits for a second administrator."""
    admin_sees_failed_accounts: bool = True
    """R23: administrators see the addresses whose copies stayed."""
    retention: int = 7 * DAY
    """R26: how long a recalled copy can be restored, in seconds."""
    recalls_per_hour: int = 600
    """R10 `rate_limited`: how many recalls one account may ask for in an hour."""

    def __post_init__(self) -> None:
        for name in ("window_user", "window_admin"):
            _within(name, getattr(self, name), 1, LONGEST_WINDOW, "seconds: 15 days is the most an agreement can give")
        _within("retention", self.retention, 0, LONGEST_RETENTION, "seconds")
        _within("approval_above", self.approval_above, 0, MOST_COPIES, "copies")
        _within("recalls_per_hour", self.recalls_per_hour, 1, MOST_RECALLS_PER_HOUR, "recalls")

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> "Policy":
        """Build a policy from stored or received switches; those not named keep their defaults.

        Raises:
            PolicyError: an unknown switch, a value of the wrong type, or one out of range.
        """
        known = {f.name: f for f in fields(cls)}
        unknown = sorted(values.keys() - known.keys())
        if unknown:
            raise PolicyError(f"There is no policy switch '{unknown[0]}'; there are {', '.join(sorted(known))}.")
        # the defaults carry the types: a switch's new value must be of its default's kind
        defaults = cls()
        converted = {name: _convert(name, value, getattr(defaults, name)) for name, value in values.items()}
        return cls(**converted)  # type: ignore[arg-type]

    def to_mapping(self) -> dict[str, object]:
        """Return every switch as plain JSON values."""
        return {
            f.name: value.value if isinstance(value := getattr(self, f.name), StrEnum) else value for f in fields(self)
        }

    @property
    def all_or_nothing(self) -> bool:
        """R13: whether no copy goes unless every local copy in scope qualifies."""
        return self.group_mode is GroupMode.ALL_OR_NOTHING

    @property
    def furthest_in_scope(self) -> Kinship:
        """R1: recipients further away than this are `external`."""
        return FURTHEST_IN_SCOPE[self.scope]

    def window(self, *, administrator: bool) -> timedelta:
        """R3: how long after acceptance a recall may be asked for."""
        return timedelta(seconds=self.window_admin if administrator else self.window_user)


def _within(name: str, value: int, least: int, most: int, unit: str) -> None:
    if not least <= value <= most:
        raise PolicyError(f"{name} must be from {least} to {most} {unit}; got {value}.")


def _convert(name: str, value: object, default: object) -> object:
    if isinstance(default, StrEnum):
        kind = type(default)
        if not isinstance(value, str) or value not in list(kind):
            raise PolicyError(f"{name} must be one of {', '.join(kind)}; got {value!r}.")
        return kind(value)
    # bool is an int in Python, and must not pass for one here
    if type(value) is not type(default):
        wanted = "true or false" if isinstance(default, bool) else "a whole number"
        raise PolicyError(f"{name} must be {wanted}; got {value!r}.")
    return value
