"""The numbers of delivery batches, which say how a batch came to be."""

from typing import Final

FIRST_MOVED: Final = 1_000_000
"""Batches from this number on were cut off others when their mailboxes moved to another shard."""


def is_moved(batch: int) -> bool:
    """Tell whether a batch came to its shard by a move: its range may overlap others, its members are known by name."""
    return batch >= FIRST_MOVED
