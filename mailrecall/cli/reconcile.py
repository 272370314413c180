"""`mailrecall reconcile`: after a restoration, before the services are started."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import click

from mailrecall import clock
from mailrecall.backups.reconciling import Findings, reconcile
from mailrecall.backups.renumbering import raise_uid_validity
from mailrecall.postgres.databases import Databases
from mailrecall.postgres.preparation import prepare
from mailrecall.settings import Settings, load
from mailrecall.shards import moving

_AT_MOST = 20


@click.command("reconcile")
@click.option(
    "--since",
    type=click.DateTime(),
    help="Compare only what was done since then (UTC): a moment before the oldest backup was begun.  [default: all]",
)
@click.option(
    "--restored",
    metavar="SHARDS",
    help="Shards that were restored, or failed over with a loss of commits: their numbers with commas between, or all."
    " IMAP clients read these anew.",
)
def reconcile_command(since: datetime | None, restored: str | None) -> None:
    """Bring restored databases together that were backed up at slightly different moments.

    With the services stopped, after restoring the control database and the shards. What was recalled and is back on a
    shard is recalled again, mail that a shard has forgotten is delivered again, once the workers run. Exit code 1 tells
    that something is lost, which is listed.
    """
    settings = load(Settings)
    shards = _shards(restored, settings.shard_numbers)
    prepare(settings)
    databases = Databases(settings, "reconcile")
    try:
        with moving.mover(settings, databases) as mover:
            mover.end_interrupted(now=clock.now())
            found = reconcile(
                databases,
                since=since.replace(tzinfo=UTC) if since else datetime.min.replace(tzinfo=UTC),
                deadline=timedelta(seconds=settings.recall_deadline),
                now=clock.now(),
            )
            for shard in shards:
                raise_uid_validity(databases, shard, now=clock.now())
    finally:
        databases.close()
    _tell(found)
    if found.lost_messages or found.unknown_messages or found.unknown_recalls or found.unknown_undos:
        raise SystemExit(1)


def _shards(named: str | None, known: Collection[int]) -> Collection[int]:
    if named is None or named == "all":
        return known if named else ()
    numbers = [int(number) if number.isdecimal() else -1 for number in named.split(",")]
    if not set(numbers) <= set(known):
        raise click.BadParameter(f"{named} does not name shards; there are {', '.join(map(str, known))}.")
    return numbers


def _tell(found: Findings) -> None:
    click.echo(
        f"Batches delivered again: {found.deposited_again}; authors' copies: {found.filed_again}; batches of recalls"
        f" carried out again: {found.withdrawn_again}; of undos: {found.restored_again}; let go:"
        f" {found.let_go}; recalls decided again: {found.decided_again}; batches prepared again:"
        f" {found.prepared_again}."
        " Start the workers first; let people in when the outbox is empty."
    )
    for numbers, what in (
        (found.lost_messages, "messages that a shard had got are lost: their content is on no shard any more"),
        (
            found.unknown_messages,
            "messages on shards are unknown to the control database: readable, not recallable",
        ),
        (
            found.unknown_recalls,
            "recalls that shards carried out are unknown to the control database: copies are gone",
        ),
        (
            found.unknown_undos,
            "recalls that shards have undone are unknown to be so to the control database: undo them again",
        ),
    ):
        if numbers:
            shown = ", ".join(map(str, sorted(numbers)[:_AT_MOST]))
            click.echo(f"{len(numbers)} {what}: {shown}{' …' if len(numbers) > _AT_MOST else ''}")
