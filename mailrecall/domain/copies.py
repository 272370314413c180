"""What is known of one recipient's copy of a message."""

from enum import IntEnum, IntFlag

AUTHOR_COPY_BIT = 1
"""Message ids are even. The author's own copy (Sent, drafts) bears the id that follows, so that an author who is also
a recipient has two copies that never collide (R15)."""


class Fact(IntFlag):
    """What happened to a copy, for good: a fact is added and never taken back (R2, R4, R5, R7, R9)."""

    READ = 1
    ATTACHMENT_DOWNLOADED = 2
    FORWARDED = 4
    FETCHED_BY_POP3 = 8
    DELETED = 16
    """The recipient deleted the copy for good, or the mailbox was closed: the row stays, unseen, until it is purged."""


PREPARED = 32
"""R13: stored beside the facts while an all-or-nothing recall waits for its decision. It is none of them: if the copy
stays, it goes again."""


class Flag(IntFlag):
    """What the recipient's mail program shows and may change at will (RFC 9051 section 2.3.2). No rule looks here."""

    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16


class Folder(IntEnum):
    """The folders that every mailbox has, named after the special uses of RFC 6154."""

    INBOX = 1
    SENT = 2
    DRAFTS = 3
    TRASH = 4
    JUNK = 5
    ARCHIVE = 6

    @property
    def slug(self) -> str:
        """The folder's name in an address: `inbox`, `sent` and so on."""
        return self.name.lower()

    @classmethod
    def from_slug(cls, slug: str) -> "Folder":
        """Return the folder of that name.

        Raises:
            ValueError: there is no such folder.
        """
        try:
            return cls[slug.upper()]
        except KeyError:
            raise ValueError(f"There is no folder '{slug}'; choose one of {', '.join(f.slug for f in cls)}.") from None


def author_copy_id(message_id: int) -> int:
    """Return the id that the author's own copy of a message bears."""
    return message_id | AUTHOR_COPY_BIT


def message_of(copy_id: int) -> int:
    """Return the message that a copy, the author's or a recipient's, belongs to."""
    return copy_id & ~AUTHOR_COPY_BIT


def is_author_copy(copy_id: int) -> bool:
    """Tell whether the id is that of an author's own copy."""
    return bool(copy_id & AUTHOR_COPY_BIT)
