"""UIDs after a shard was restored (RFC 3501 section 2.3.1.1).

The shard has forgotten which UIDs it gave after its backup, and gives them again. A client that has seen them would
take new messages for those that it knows: it must be told that nothing it knows of UIDs holds any more.
"""

from datetime import datetime

from mailrecall.postgres import queries
from mailrecall.postgres.databases import Databases

_SQL = queries.load(__package__, "renumbering.sql")

_PAGE = 5000


def raise_uid_validity(databases: Databases, shard: int, *, now: datetime) -> int:
    """Give every folder of a restored shard a UIDVALIDITY that it never had; the services are stopped.

    Args:
        databases: holds the shard.
        shard: its number.
        now: the present moment, later than any UIDVALIDITY that was given before.

    Returns:
        how many folders there are.
    """
    folders, after = 0, (0, 0)
    while True:
        keys = {"after": after[0], "after_folder": after[1], "limit": _PAGE, "uid_validity": int(now.timestamp())}
        with databases.shard(shard) as connection:
            raised = connection.execute(_SQL["raise"], keys).fetchall()
        if not raised:
            return folders
        folders += len(raised)
        after = max(raised)
