"""The folders by the names that mail programs know them by."""

from collections.abc import Mapping, Sequence

from pymap.listtree import ListTree
from pymap.parsing.specials import ObjectId

from mailrecall.domain.copies import Folder

DELIMITER = "/"

NAMES: Mapping[str, Folder] = {
    "INBOX": Folder.INBOX,
    "Sent": Folder.SENT,
    "Drafts": Folder.DRAFTS,
    "Trash": Folder.TRASH,
    "Junk": Folder.JUNK,
    "Archive": Folder.ARCHIVE,
}


def find(name: str) -> Folder | None:
    """Return the folder of a name; pymap has made INBOX of any spelling of it."""
    return NAMES.get(name)


def matching(reference: str, pattern: str) -> Sequence[tuple[str, str | None, Sequence[bytes]]]:
    """Return the folders that a LIST's pattern matches: name, delimiter, attributes."""
    if not pattern:
        return [("", DELIMITER, [b"Noselect"])]
    tree = ListTree(DELIMITER).update(*NAMES)
    return [(entry.name, DELIMITER, _attributes(entry.name)) for entry in tree.list_matching(reference, pattern)]


def object_id(mailbox_id: int, folder: Folder) -> ObjectId:
    """Return what tells a folder from all others (RFC 8474)."""
    return ObjectId(b"F%d-%d" % (mailbox_id, folder))


def _attributes(name: str) -> Sequence[bytes]:
    # the special uses of RFC 6154 are named as the folders are
    return [b"HasNoChildren"] if name == "INBOX" else [b"HasNoChildren", name.encode("ascii")]
