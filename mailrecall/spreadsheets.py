"""Tables as CSV that spreadsheets open as they are: UTF-8 with a byte order mark, no cell that could be a formula."""

import csv
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

MEDIA_TYPE = "text/csv"

_FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""What makes a spreadsheet take a cell for a formula or a command (OWASP, CSV injection), in both widths."""

_ROWS = 1000
"""Rows that make a portion."""


def harmless(cell: str) -> str:
    """Return the cell so that a spreadsheet shows it as text: an apostrophe before what would start a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell


def portions(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[bytes]:
    """Write a table, some rows at a time, so that a long one need not be in memory."""
    text = StringIO(newline="")
    # every cell in quotes, so that no separator another locale uses can cut one in two
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(header)
    yield BOM_UTF8
    for number, row in enumerate(rows, start=1):
        writer.writerow([harmless(cell) for cell in row])
        if number % _ROWS == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Write a table."""
    return b"".join(portions(header, rows))
