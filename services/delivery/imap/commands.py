"""Commands as clients write them: whatever comes is a command or a bad one, and takes no longer than its length says.

pymap's own reading ends in an error of Python's where a search is not in the charset it names or is nested too deeply,
which closes the connection as if the server were broken. And it searches in any charset that Python knows, one of
which takes time by the square of the length.
"""

import codecs

from pymap.parsing import Params
from pymap.parsing.command import Command
from pymap.parsing.command.select import SearchCommand, UidSearchCommand
from pymap.parsing.commands import Commands as PymapCommands
from pymap.parsing.commands import InvalidCommand
from pymap.parsing.exceptions import NotParseable
from pymap.parsing.primitives import Atom
from pymap.parsing.specials import Tag

_CHARSETS = {"ascii", "utf-8"}


class CharsetError(NotParseable):
    """A search is in a charset that is not known here (RFC 3501 section 6.4.4)."""


class _Search(SearchCommand):
    """SEARCH in the charsets that every server has to know, which are the ones that clients use."""

    @classmethod
    def _parse_charset(cls, buf: memoryview, params: Params) -> tuple[str | None, memoryview]:
        try:
            charset, after = super()._parse_charset(buf, params)
        except (NotParseable, ValueError):
            raise CharsetError(buf) from None
        if charset is not None and codecs.lookup(charset).name not in _CHARSETS:
            raise CharsetError(buf)
        return charset, after


class _UidSearch(_Search, UidSearchCommand):
    """The same by UIDs."""


class Commands(PymapCommands):
    """The commands that pymap knows."""

    def __init__(self) -> None:
        super().__init__()
        for command in (_Search, _UidSearch):
            self.register(command)

    def parse(self, buf: memoryview, params: Params) -> tuple[Command, memoryview]:
        """Read a command; what cannot be read is an `InvalidCommand`."""
        try:
            return super().parse(buf, params)
        except (UnicodeError, RecursionError):
            # it has a tag and a name, or it would not have come so far
            tag, after = Tag.parse(buf, params)
            name, _ = Atom.parse(after[1:], params)
            command = name.value.upper()
            bad = InvalidCommand(params.copy(tag=tag.value), NotParseable(buf), command, self.commands.get(command))
            return bad, buf[0:0]
