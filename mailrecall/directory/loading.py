"""Loads a whole directory from files: by COPY into temporary tables, then one statement for each list.

A load only adds: what is there already stays as it is, so the same files can be loaded again at any time. Either all of
it is loaded or, when any line is bad, nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from psycopg import Connection

from mailrecall.directory import files, passwords
from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.directory.listing import Kind, Listing, Problem
from mailrecall.directory.organisations import lock, parse_policy, record_policy
from mailrecall.directory.placement import place
from mailrecall.domain.groups import GroupCycleError, refuse_cycles
from mailrecall.domain.policy import Policy
from mailrecall.domain.trail import OPERATOR
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "loading.sql")
_PROBLEMS = queries.load(__package__, "load_problems.sql")

SHOWN: Final = 20
"""How many bad lines are reported."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load added."""

    organisations: int
    domains: int
    accounts: int
    groups: int
    aliases: int
    members: int


def load_path(connection: Connection[Any], path: Path, *, now: datetime) -> Loaded:
    """Load a JSON file or a folder of CSV files into the caller's control transaction.

    Raises:
        DirectoryError: the files cannot be read, or lines in them are bad; `problems` has the first twenty.
    """
    return load(connection, files.read(path), now=now)


def load(connection: Connection[Any], listing: Listing, *, now: datetime) -> Loaded:
    """Load what was read from files into the caller's control transaction.

    Raises:
        DirectoryError: lines are bad; `problems` has the first twenty, each with its file and number.
    """
    if not listing.complete:
        raise _refusal(listing.problems)
    with connection.transaction():
        # a million accounts may take longer than what is right for a statement of a service
        connection.execute("SET LOCAL statement_timeout = 0")
        lock(connection)
        _stage(connection, listing)
        added = {kind: insert(connection) for kind, insert in _INSERTS.items()}
        problems = [*listing.problems, *_problems(connection, listing)]
        if problems:
            raise _refusal(problems)
        added[Kind.MEMBERS] = connection.execute(_SQL["insert_members"]).rowcount
        _hash_passwords(connection, listing.passwords)
        _record_policies(connection, now=now)
        connection.execute(_SQL["drop_staging"])
        if any(added.values()):
            connection.execute(_SQL["analyze"])
    return Loaded(**{kind.value: count for kind, count in added.items()})


def _stage(connection: Connection[Any], listing: Listing) -> None:
    connection.execute(_SQL["create_staging"])
    with connection.cursor() as cursor:
        for kind, rows in listing.rows.items():
            with cursor.copy(_SQL[f"stage_{kind}"]) as copy:
                for row in rows:
                    copy.write_row(row)
    connection.execute(_SQL["analyze_staging"])


def _record_policies(connection: Connection[Any], *, now: datetime) -> None:
    """R27: say which switches the new organisations have that differ from the defaults."""
    for organisation_id, switches in connection.execute(_SQL["new_policies"]).fetchall():
        policy = parse_policy(switches)
        record_policy(connection, organisation_id, Policy(), policy, actor=OPERATOR, now=now)


def _insert_organisations(connection: Connection[Any]) -> int:
    return connection.execute(_SQL["insert_organisations"]).rowcount


def _insert_domains(connection: Connection[Any]) -> int:
    return connection.execute(_SQL["insert_domains"]).rowcount


def _insert_accounts(connection: Connection[Any]) -> int:
    new = connection.execute(_SQL["find_new_accounts"]).rowcount
    if new:
        connection.execute(_SQL["insert_accounts"], {"shards": place(connection, new)})
        connection.execute(_SQL["insert_account_addresses"])
    return new


def _insert_groups(connection: Connection[Any]) -> int:
    new = connection.execute(_SQL["find_new_groups"]).rowcount
    connection.execute(_SQL["insert_groups"])
    connection.execute(_SQL["insert_group_addresses"])
    return new


def _insert_aliases(connection: Connection[Any]) -> int:
    return connection.execute(_SQL["insert_aliases"]).rowcount


# Members follow when everything else has proved right: one bad row would end their statement, and hide the others.
_INSERTS: Final = {
    Kind.ORGANISATIONS: _insert_organisations,
    Kind.DOMAINS: _insert_domains,
    Kind.ACCOUNTS: _insert_accounts,
    Kind.GROUPS: _insert_groups,
    Kind.ALIASES: _insert_aliases,
}


def _problems(connection: Connection[Any], listing: Listing) -> list[Problem]:
    """Find the lines that contradict each other or the directory; of several things wrong with a line, the first."""
    connection.execute(_SQL["find_members"])
    found: dict[tuple[str, int], Problem] = {}
    for statement in _PROBLEMS.values():
        for kind, line, text in connection.execute(statement, {"limit": SHOWN + 1}):
            found.setdefault((kind, line), Problem(listing.files[Kind(kind)], line, text))
    if cycle := _cycle(connection, listing):
        found.setdefault((Kind.MEMBERS, cycle.line), cycle)
    return list(found.values())


def _cycle(connection: Connection[Any], listing: Listing) -> Problem | None:
    """R13: find a group that would contain itself, with a line of the files that makes it so."""
    lines: dict[tuple[str, str], int | None] = {}
    graph: dict[str, list[str]] = {}
    for container, member, line in connection.execute(_SQL["nesting"]):
        if (container, member) not in lines or line is None:
            lines[container, member] = line
        graph.setdefault(container, []).append(member)
    try:
        refuse_cycles(graph)
    except GroupCycleError as error:
        added = [line for edge in zip(error.path, error.path[1:], strict=False) if (line := lines[edge]) is not None]
        return Problem(listing.files[Kind.MEMBERS], max(added, default=1), str(error))
    return None


def _hash_passwords(connection: Connection[Any], by_address: Mapping[str, str]) -> None:
    """Hash what came in clear for new accounts; last of all, since it is the one thing here that takes its time."""
    new = connection.execute(_SQL["new_with_password"], {"addresses": list(by_address)}).fetchall()
    for account_id, address in new:
        password_hash = passwords.hash_password(by_address[address])
        connection.execute(_SQL["set_password_hash"], {"account_id": account_id, "password_hash": password_hash})


def _refusal(problems: list[Problem]) -> DirectoryError:
    ordered = sorted(problems)
    shown = [str(problem) for problem in ordered[:SHOWN]]
    if len(ordered) > SHOWN:
        shown.append("… and more")
    return DirectoryError(Code.FILES_REFUSED, "Nothing was loaded. These lines are not right:", shown)
