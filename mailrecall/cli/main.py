"""The `mailrecall` command: its subcommands are imported when they are used, so that each starts fast."""

from importlib import import_module

import click
import psycopg

from mailrecall.client.errors import ClientError
from mailrecall.demo.errors import DemoError
from mailrecall.directory.errors import DirectoryError
from mailrecall.embedded.errors import EmbeddedError
from mailrecall.settings import SettingsError
from mailrecall.shards.errors import ShardError

COMMANDS = {
    "audit": "mailrecall.cli.audit:audit",
    "directory": "mailrecall.cli.directory:directory",
    "demo": "mailrecall.cli.demo:demo",
    "migrate": "mailrecall.cli.migrate:migrate",
    "outbox": "mailrecall.cli.outbox:outbox",
    "preview": "mailrecall.cli.remote:preview",
    "recall": "mailrecall.cli.remote:recall",
    "recalls": "mailrecall.cli.remote:recalls",
    "reconcile": "mailrecall.cli.reconcile:reconcile_command",
    "shards": "mailrecall.cli.shards:shards",
    "status": "mailrecall.cli.stack:status",
    "token": "mailrecall.cli.remote:token",
    "up": "mailrecall.cli.stack:up",
    "watch": "mailrecall.cli.remote:watch",
}
"""Each subcommand with the module and the name of its click command."""

EXPECTED = (
    ClientError,
    DemoError,
    DirectoryError,
    EmbeddedError,
    SettingsError,
    ShardError,
    psycopg.OperationalError,
)
"""Errors that say what to do: their message is shown, without a traceback. Anything else is a bug and shows as one."""


class Failure(click.ClickException):
    """An expected error on its way to the terminal."""

    exit_code = 2


class Commands(click.Group):
    """A group whose subcommands lie in other modules."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of the subcommands."""
        return sorted(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand; one whose libraries are not installed says so when it is used."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        try:
            command: click.Command = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in {"mailrecall", "services"}:
                raise
            return _missing(cmd_name, error.name or "")
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a subcommand; expected errors become one clear message and exit code 2."""
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            raise Failure(str(error).strip()) from error


def _missing(command: str, library: str) -> click.Command:
    """Stand in for a subcommand that this installation was made without, as the services' image is."""

    @click.command(command, short_help="(not part of this installation)", add_help_option=False)
    def missing() -> None:
        raise click.ClickException(
            f"`mailrecall {command}` needs {library}, which is not installed here: pip install 'mailrecall[embedded]'."
        )

    missing.context_settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return missing


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mailrecall", prog_name="mailrecall")
def main() -> None:
    """Mail Recall: takes a message back out of the mailboxes it went to."""


if __name__ == "__main__":
    main()
