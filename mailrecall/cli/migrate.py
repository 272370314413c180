"""`mailrecall migrate`: apart from the embedded stack, because a container runs it without that."""

import click

from mailrecall.postgres.migrations import Phase
from mailrecall.postgres.preparation import prepare
from mailrecall.settings import Settings, load


@click.command()
@click.option("--before", "phase", flag_value=Phase.BEFORE.value, help="Only what the version before can live with.")
@click.option("--after", "phase", flag_value=Phase.AFTER.value, help="Only what takes away what it needed.")
def migrate(phase: str | None) -> None:
    """Bring the control database and all shards to this version's schema. Reads MAILRECALL_CONTROL_URL and the like.

    Without an option everything is applied. An upgrade without a pause runs it with --before, then replaces the
    processes one by one, then runs it with --after.
    """
    settings = load(Settings)
    applied = prepare(settings, Phase(phase or Phase.ALL))
    click.echo(f"{applied} migrations applied to the control database and {len(settings.shard_numbers)} shards.")
