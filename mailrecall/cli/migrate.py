"""`mailrecall migrate`: apart from the embedded stack, because a container runs it without that."""

import click

from mailrecall.postgres.preparation import prepare
from mailrecall.settings import Settings, load


@click.command()
def migrate() -> None:
    """Bring the control database and all shards to this version's schema. Reads MAILRECALL_CONTROL_URL and the like."""
    settings = load(Settings)
    applied = prepare(settings)
    click.echo(f"{applied} migrations applied to the control database and {len(settings.shard_urls)} shards.")
