"""A directory in files: one JSON file, or a folder of CSV files. docs/directory.md describes both."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Final

from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.directory.listing import Kind, Listing, Problem
from mailrecall.directory.organisations import switch_from_text
from mailrecall.domain.policy import Policy

_SWITCHES: Final = frozenset(f.name for f in fields(Policy))
REQUIRED: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.ORGANISATIONS: frozenset({"name"}),
    Kind.DOMAINS: frozenset({"domain", "organisation"}),
    Kind.ACCOUNTS: frozenset({"address"}),
    Kind.GROUPS: frozenset({"address"}),
    Kind.ALIASES: frozenset({"alias", "address"}),
    Kind.MEMBERS: frozenset({"group", "member"}),
}
OPTIONAL: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.ORGANISATIONS: frozenset({"policy"}),
    Kind.ACCOUNTS: frozenset({"display_name", "language", "administrator", "password", "password_hash"}),
    Kind.GROUPS: frozenset({"display_name"}),
}

_SPACE = re.compile(r"[ \t\n\r]*")


def read(path: Path) -> Listing:
    """Read what a JSON file or a folder of CSV files lists, and note every line that is bad.

    Raises:
        DirectoryError: there is no such file, or nothing in the folder that could be a list.
    """
    try:
        return _read_folder(path) if path.is_dir() else _read_json(path)
    except OSError as error:
        raise DirectoryError(Code.FILES_REFUSED, f"Cannot read {error.filename or path}: {error.strerror}.") from None


def _read_folder(folder: Path) -> Listing:
    names = {f"{kind}.csv": kind for kind in Kind}
    found = sorted(path.name for path in folder.glob("*.csv"))
    if not found:
        raise DirectoryError(
            Code.FILES_REFUSED, f"There are no lists in {folder}; it needs some of {', '.join(names)}."
        )
    listing = Listing(files={kind: name for name, kind in names.items()})
    # a misspelt file must not pass for an empty list
    for name in found:
        if name not in names:
            _give_up(listing, Problem(name, 1, f"There is no list of this name; there are {', '.join(names)}."))
    for name, kind in names.items():
        if name in found:
            _read_csv(folder / name, kind, listing)
    return listing


def _read_csv(path: Path, kind: Kind, listing: Listing) -> None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        first = 1
        try:
            header = [column.strip() for column in next(lines, [])]
            if wrong := _wrong_header(kind, header):
                _give_up(listing, Problem(path.name, 1, wrong))
                return
            first = lines.line_num + 1
            for values in lines:
                if len(values) > len(header):
                    text = f"{len(values)} fields under {len(header)} columns: is a comma not quoted?"
                    _give_up(listing, Problem(path.name, first, text))
                elif values:
                    listing.add(kind, first, _by_column(kind, header, values))
                first = lines.line_num + 1
        except csv.Error as error:
            _give_up(listing, Problem(path.name, first, f"This is no CSV: {error}."))
        except UnicodeDecodeError:
            _give_up(listing, Problem(path.name, _first_line_not_utf8(path), "The file must be UTF-8."))


def _wrong_header(kind: Kind, header: list[str]) -> str | None:
    # a spreadsheet has a column for each switch, where JSON has an object
    known = REQUIRED[kind] | (_SWITCHES if kind is Kind.ORGANISATIONS else OPTIONAL.get(kind, frozenset()))
    if unknown := [column for column in header if column not in known]:
        return f"There is no column {unknown[0]!r}; there are {', '.join(sorted(known))}."
    if missing := sorted(REQUIRED[kind] - set(header)):
        return f"The first line must name the columns; {missing[0]!r} is missing."
    if len(set(header)) < len(header):
        return "A column is named twice."
    return None


def _by_column(kind: Kind, header: list[str], values: list[str]) -> dict[str, object]:
    row: dict[str, object] = dict(zip_longest(header, values, fillvalue=""))
    if kind is Kind.ORGANISATIONS:
        # an empty field leaves a switch at its default
        row["policy"] = {
            name: switch_from_text(value) for name in _SWITCHES & row.keys() if (value := str(row[name]).strip())
        }
    return row


def _first_line_not_utf8(path: Path) -> int:
    content = path.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1
    return 1


def _read_json(path: Path) -> Listing:
    listing = Listing(files=dict.fromkeys(Kind, path.name))
    try:
        text = path.read_bytes().decode("utf-8-sig")
        for kind, line, value in _entries(text, lambda line, text: _give_up(listing, Problem(path.name, line, text))):
            _add_json(listing, path.name, kind, line, value)
    except UnicodeDecodeError:
        _give_up(listing, Problem(path.name, _first_line_not_utf8(path), "The file must be UTF-8."))
    except json.JSONDecodeError as error:
        _give_up(listing, Problem(path.name, error.lineno, f"This is no directory in JSON: {error.msg}."))
    except (RecursionError, ValueError):
        # nested a thousand deep, or a number of thousands of digits: Python says no and not where
        _give_up(listing, Problem(path.name, 1, "This is no directory in JSON: it goes beyond what can be read."))
    return listing


def _add_json(listing: Listing, file: str, kind: Kind, line: int, value: object) -> None:
    if not isinstance(value, dict):
        listing.problems.append(Problem(file, line, f"{kind} must be a list of objects; got {value!r:.60}."))
        return
    known = REQUIRED[kind] | OPTIONAL.get(kind, frozenset())
    if unknown := sorted(value.keys() - known):
        text = f"{kind} have no {unknown[0]!r:.60}; there are {', '.join(sorted(known))}."
        listing.problems.append(Problem(file, line, text))
    listing.add(kind, line, value)


def _entries(text: str, complain: Callable[[int, str], None]) -> Iterator[tuple[Kind, int, object]]:
    """Give every entry of every list in a JSON object with the line on which it starts.

    The outer object and its lists are walked here, for `json` tells where a mistake is but not where a value was.
    """
    repeated: list[str] = []
    decoder = json.JSONDecoder(object_pairs_hook=partial(_noting_repetitions, repeated))
    seen: set[str] = set()
    line, counted, at = 1, 0, _skip(text, 0)
    at = _expect(text, at, "{")
    while text[at : at + 1] != "}":
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("expected the name of a list in double quotes", text, at)
        line, counted = line + text.count("\n", counted, at), at
        key, at = decoder.raw_decode(text, at)
        # a misspelt list must not pass for one with nothing in it
        known = key in list(Kind)
        if not known:
            complain(line, f"There is no list {key!r:.60}; there are {', '.join(Kind)}.")
        elif key in seen:
            complain(line, f"{key} are listed twice; put all of them into one list.")
        seen.add(key)
        at = _expect(text, _expect(text, _skip(text, at), ":"), "[")
        while text[at : at + 1] != "]":
            line, counted = line + text.count("\n", counted, at), at
            value, at = decoder.raw_decode(text, at)
            if repeated:
                complain(line, f"{repeated[0]!r:.60} is given twice in one object; which one is meant?")
                repeated.clear()
            elif known:
                yield Kind(key), line, value
            at = _next_or_end(text, at, "]")
        at = _next_or_end(text, _skip(text, at + 1), "}")
    if (end := _skip(text, at + 1)) < len(text):
        raise json.JSONDecodeError("something follows the end", text, end)


def _noting_repetitions(repeated: list[str], pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _value in pairs]
        repeated.append(next(name for name in names if names.count(name) > 1))
    return fields


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _expect(text: str, at: int, character: str) -> int:
    if text[at : at + 1] != character:
        raise json.JSONDecodeError(f"expected {character}", text, at)
    return _skip(text, at + 1)


def _next_or_end(text: str, at: int, end: str) -> int:
    """Return where the next item begins, or the closing bracket stands."""
    at = _skip(text, at)
    if text[at : at + 1] == end:
        return at
    at = _expect(text, at, ",")
    if text[at : at + 1] == end:
        raise json.JSONDecodeError("a comma before the end", text, at)
    return at


def _give_up(listing: Listing, problem: Problem) -> None:
    listing.problems.append(problem)
    listing.complete = False
