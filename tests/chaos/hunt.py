"""The stack that is hunted in, and what the hunt keeps beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.fault.scene import Scene
from tests.severing import Wire


@dataclass(frozen=True, slots=True)
class Hunt(Scene):
    """A running stack whose services reach their shards by wires that can be cut."""

    wires: Sequence[Wire] = ()
    """One for each shard."""
    poison: set[int] = field(default_factory=set)
    """Work that was planted, and that nobody can ever do."""
