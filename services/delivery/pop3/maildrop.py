"""A session's view of its mailbox: message numbers that never change, and marks for deletion (RFC 1939 section 5)."""

import re
from collections.abc import Iterator, Sequence

from mailrecall.mailstore.pop3 import Listed

_NUMBER = re.compile(rb"\d{1,9}")


class NoMessageError(Exception):
    """There is no message of that number, or it is marked as deleted; the message is for the client."""


def number_of(text: bytes) -> int:
    """Read a number as a client writes it.

    Raises:
        NoMessageError: it is none.
    """
    if not _NUMBER.fullmatch(text):
        raise NoMessageError("That is no number")
    return int(text)


class Maildrop:
    """The messages as they were when the session began."""

    def __init__(self, messages: Sequence[Listed]) -> None:
        self._messages = messages
        self._marked: set[int] = set()

    def find(self, text: bytes) -> tuple[int, Listed]:
        """Return a message with its number, by its number as the client wrote it.

        Raises:
            NoMessageError: there is none.
        """
        number = number_of(text)
        if not 1 <= number <= len(self._messages):
            raise NoMessageError(f"There is no message {number}: there are {len(self._messages)}")
        if number in self._marked:
            raise NoMessageError(f"Message {number} is marked as deleted")
        return number, self._messages[number - 1]

    def left(self) -> Iterator[tuple[int, Listed]]:
        """Return the messages that are not marked, with their numbers."""
        for number, message in enumerate(self._messages, start=1):
            if number not in self._marked:
                yield number, message

    def totals(self) -> tuple[int, int]:
        """Return how many messages are not marked, and their octets."""
        sizes = [message.size for _, message in self.left()]
        return len(sizes), sum(sizes)

    def mark(self, number: int) -> None:
        """Mark a message as deleted."""
        self._marked.add(number)

    def unmark_all(self) -> None:
        """Take all marks back."""
        self._marked.clear()

    def marked(self) -> list[int]:
        """Return the ids of the copies that are marked."""
        return [self._messages[number - 1].copy_id for number in sorted(self._marked)]
