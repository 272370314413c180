"""Which copies in a batch's range are the batch's: all of them, unless copies of the message came here by a move.

After a move the ranges of a message's batches overlap, and `moved_copy` tells their members apart. Most messages have
no such copies: their statements stay bare.
"""

from collections.abc import Mapping
from typing import Any

from psycopg import Connection

from mailrecall.domain.batches import is_moved
from mailrecall.mailstore import residence
from mailrecall.mailstore.batch import Batch
from mailrecall.postgres import queries

_MEMBER = (
    "(SELECT FROM moved_copy AS moved WHERE moved.message_id = copy.message_id AND moved.mailbox_id = copy.mailbox_id"
)


class RangedStatements:
    """The statements of a file that say `{MEMBERS}` where they choose a batch's copies by its range."""

    def __init__(self, file: str, names: Mapping[str, str]) -> None:
        """Load the statements.

        Args:
            file: beside this module.
            names: what else stands in braces.
        """
        self.bare = queries.load(__package__, file, {**names, "MEMBERS": ""})
        """For statements that choose by other means."""
        self._among_moved = queries.load(__package__, file, {**names, "MEMBERS": f" AND NOT EXISTS {_MEMBER})"})
        self._moved = queries.load(
            __package__, file, {**names, "MEMBERS": f" AND EXISTS {_MEMBER} AND moved.batch = %(batch)s)"}
        )

    def enter(self, connection: Connection[Any], batch: Batch) -> Mapping[str, bytes]:
        """Keep mailboxes from leaving or reaching the shard (`residence.enter_batches`); return the statements."""
        among_moved = residence.enter_batches(connection, batch.message_id)
        if is_moved(batch.batch):
            return self._moved
        return self._among_moved if among_moved else self.bare
