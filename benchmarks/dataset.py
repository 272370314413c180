"""The data set: a company of N mailboxes, each with as many older mails, on all shards, in the real tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from psycopg import Connection

from benchmarks.errors import BenchmarkError
from benchmarks.place import PASSWORD, Place
from mailrecall import clock
from mailrecall.mailstore.deposit import ListedMessage, store
from mailrecall.messages.ids import unused_ids
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "dataset.sql")

DOMAIN = "bench.example"
BACKGROUND = 20
"""Older mails in each mailbox."""
SMALLEST = 1_000
_LINES = 20_000

CONTENT = (
    b"From: account1@bench.example\r\nTo: all@bench.example\r\nSubject: An older mail\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    + b"There is nothing in here that anybody would want back.\r\n"
    * 20
)


@dataclass(frozen=True, slots=True)
class Company:
    """Whom the benchmark writes to."""

    mailboxes: int
    sizes: Sequence[int]
    """How many members the groups have: the first accounts, so a larger group holds all smaller ones."""

    def group(self, size: int) -> str:
        """Return the address of a group."""
        return f"all{size}@{DOMAIN}"

    def account(self, number: int) -> str:
        """Return the address of an account; they are counted from 1, and that is their mailbox id too."""
        return f"account{number}@{DOMAIN}"

    def members_on(self, shard: int, shards: int, size: int) -> range:
        """Return the mailbox ids of a group's members on one shard."""
        return range(shard or shards, size + 1, shards)


def sizes_up_to(mailboxes: int) -> list[int]:
    """Return the sizes at which growth is measured: powers of ten from a thousand, and the whole."""
    sizes, size = [], SMALLEST
    while size < mailboxes:
        sizes.append(size)
        size *= 10
    return [*sizes, mailboxes]


def build(place: Place, mailboxes: int) -> Company:
    """Build the company, or take the one that is there.

    Raises:
        BenchmarkError: the folder has another one.
    """
    company = Company(mailboxes, sizes_up_to(mailboxes))
    password_hash = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    with place.databases.control() as connection:
        row = connection.execute(_SQL["accounts"]).fetchone()
        there = row[0] if row else 0
        if there:
            if there != mailboxes:
                raise BenchmarkError(
                    f"The folder has a company of {there:,} mailboxes; name another folder, or --mailboxes {there}."
                )
            connection.execute(_SQL["new_password"], {"password_hash": password_hash})
            return company
        _found(connection, company, password_hash, len(place.shards))
    _fill(place, company)
    for shard in place.shards:
        with place.shard_connection(shard) as autocommitting:
            autocommitting.execute(_SQL["vacuum_shard"])
    place.control.execute(_SQL["vacuum_control"])
    return company


def _found(connection: Connection[Any], company: Company, password_hash: str, shards: int) -> None:
    row = connection.execute(_SQL["insert_company"], {"domain": DOMAIN}).fetchone()
    if row is None:
        raise AssertionError("INSERT … RETURNING gave no row")
    organisation_id, domain_id = row
    numbers = range(1, company.mailboxes + 1)
    _copy(
        connection,
        "copy_accounts",
        (f"{n}\t{organisation_id}\t{domain_id}\tPerson {n}\t{password_hash}\t{n % shards}\n" for n in numbers),
    )
    _copy(connection, "copy_addresses", (f"{company.account(n)}\t{n}\n" for n in numbers))
    for size in company.sizes:
        found = connection.execute(
            _SQL["insert_group"], {"organisation_id": organisation_id, "address": company.group(size)}
        ).fetchone()
        if found is None:
            raise AssertionError("INSERT … RETURNING gave no row")
        group = found[0]
        _copy(connection, "copy_members", (f"{group}\t{n}\n" for n in range(1, size + 1)))
    connection.execute(_SQL["next_account"])


def _fill(place: Place, company: Company) -> None:
    """Put the older mails into the mailboxes, message after message, as they would have come."""
    with place.databases.control() as connection:
        ids = unused_ids(connection, BACKGROUND)
    listed = ListedMessage(
        accepted_at=clock.now(),
        size=len(CONTENT),
        from_header=company.account(1),
        to_header=company.group(company.mailboxes),
        subject="An older mail",
        preview="There is nothing in here",
        attachments=0,
    )
    for shard in place.shards:
        with place.databases.shard(shard) as connection:
            members = company.members_on(shard, len(place.shards), company.mailboxes)
            for message_id in ids:
                store(connection, message_id, message_id, listed, CONTENT)
                # half of the older mails were read
                _copy(
                    connection,
                    "copy_copies",
                    (f"{mailbox}\t1\t1\t{message_id}\t{(mailbox + message_id // 2) % 2}\t0\n" for mailbox in members),
                )


def _copy(connection: Connection[Any], statement: str, lines: Iterator[str]) -> None:
    with connection.cursor() as cursor, cursor.copy(_SQL[statement]) as copy:
        for block in _blocks(lines):
            copy.write(block)


def _blocks(lines: Iterator[str]) -> Iterator[str]:
    block: list[str] = []
    for line in lines:
        block.append(line)
        if len(block) == _LINES:
            yield "".join(block)
            block.clear()
    yield "".join(block)
