"""`mailrecall audit`: checking the audit trail and writing it out (R27)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from psycopg import Connection

from mailrecall.audit import verification
from mailrecall.cli.databases import data_option, opened
from mailrecall.directory import organisations
from mailrecall.domain.trail import Break, Fault
from mailrecall.postgres.databases import Databases

_HASH = re.compile(r"[0-9a-f]{64}")

_MEANINGS = {
    Fault.MISSING: "records before the next one are missing, or their order was changed",
    Fault.DETACHED: "the record does not follow from the one before",
    Fault.ALTERED: "the record was altered after it was written",
    Fault.TRUNCATED: "the chain does not end where it says: its last records were removed, or its end was altered",
}

_organisation_option = click.option("--organisation", metavar="NAME", help="Only this organisation's chain.")


class HashType(click.ParamType[bytes]):
    """A record's hash, as `audit heads` prints it."""

    name = "hash"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """Return the hash's octets."""
        if isinstance(value, bytes):
            return value
        if not _HASH.fullmatch(str(value).lower()):
            self.fail(f"{value!r} is no hash: 64 hexadecimal digits, as `mailrecall audit heads` prints.", param, ctx)
        return bytes.fromhex(value)


@click.group()
@data_option
@click.pass_context
def audit(context: click.Context, data: Path | None) -> None:
    """The audit trail: a chain of records for each organisation."""
    context.obj = opened(context, data, "audit")


@audit.command("verify")
@_organisation_option
@click.option(
    "--head",
    "noted",
    type=HashType(),
    multiple=True,
    help="A head that `audit heads` printed earlier; it must still be in a chain. Can be given several times.",
)
@click.pass_obj
def verify(databases: Databases, organisation: str | None, noted: Sequence[bytes]) -> None:
    """Check every record and its place in its chain; exit with status 1 where a chain is broken.

    A chain cannot show that its last records were removed together with what says where it ends. A head that was noted
    elsewhere can: give it with --head.
    """
    with databases.control() as connection:
        organisation_id = _id_of(connection, organisation)
    with databases.control() as connection:
        verdict = verification.verify(connection, organisation_id, frozenset(noted))
        names = {chain.organisation_id: chain.organisation for chain in verification.heads(connection)}
    for found in verdict.breaks:
        click.echo(_describe(found, names.get(found.organisation_id, "")))
    for head in verdict.heads_not_found:
        click.echo(f"{head.hex()} is in no sound chain: its record was removed or altered.")
    if not verdict.sound:
        raise SystemExit(1)
    click.echo(f"Sound: {verdict.records} records in {verdict.chains} chains.")


@audit.command("heads")
@_organisation_option
@click.pass_obj
def heads(databases: Databases, organisation: str | None) -> None:
    """Print where each chain ends, to be noted where whoever can change the database cannot."""
    with databases.control() as connection:
        for chain in verification.heads(connection, _id_of(connection, organisation)):
            click.echo(f"{chain.head.hash.hex()}  {chain.head.records:>8}  {chain.organisation}")


@audit.command("export")
@_organisation_option
@click.pass_obj
def export(databases: Databases, organisation: str | None) -> None:
    """Write the trail as JSON Lines, chain by chain, oldest first.

    A record's hash is the SHA-256 of its line without the field "hash".
    """
    with databases.control() as connection:
        for record in verification.records(connection, _id_of(connection, organisation)):
            click.echo(record.as_line())


def _id_of(connection: Connection[Any], organisation: str | None) -> int | None:
    return None if organisation is None else organisations.organisation_by_name(connection, organisation).id


def _describe(found: Break, name: str) -> str:
    whose = name or f"organisation {found.organisation_id}"
    return f"Broken: {whose}, record {found.number}: {_MEANINGS[found.fault]}."
