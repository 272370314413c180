"""A range of one shard's mailboxes, as a recall's tasks work on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from mailrecall.mailstore.deposit import ListedMessage


@dataclass(frozen=True, slots=True)
class Notice:
    """R17: what is left in a withdrawn copy's place, where the policy wants it."""

    message_id: int
    listed: ListedMessage
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A range of one shard's mailboxes that a message was delivered to."""

    recall_id: int
    batch: int
    message_id: int
    first: int
    last: int
    recipients: int
    out_of_scope: Sequence[int] = ()
    """R1: recipients in the range that are `external` by the policy."""
    notice: Notice | None = None
    attempt: int = 1
    """R12, R13: which try of an all-or-nothing recall this is."""
    all_or_nothing: bool = False
    """R13: whether the batch waits for a decision between two phases."""

    @property
    def keys(self) -> dict[str, object]:
        """As the statements name them."""
        return {
            "recall_id": self.recall_id,
            "batch": self.batch,
            "message_id": self.message_id,
            "first": self.first,
            "last": self.last,
            "out_of_scope": list(self.out_of_scope),
            "attempt": self.attempt,
        }
