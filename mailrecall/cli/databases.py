"""What every command that works on a running installation begins with: where its databases are."""

import os
from pathlib import Path

import click

from mailrecall.postgres.databases import Databases
from mailrecall.settings import PREFIX, Settings, load

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="MAILRECALL_DATA",
    show_envvar=True,
    help="The folder of a running `mailrecall up`. Without it: what MAILRECALL_CONTROL_URL and the like say, and where "
    "they say nothing, .mailrecall here.",
)


def opened(context: click.Context, data: Path | None, application: str) -> Databases:
    """Return the databases of an installation, to be closed when the command ends.

    Raises:
        SettingsError: the environment does not describe an installation.
        EmbeddedError: there is none in the folder.
    """
    databases = Databases(_settings(data), application)
    context.call_on_close(databases.close)
    return databases


def _settings(data: Path | None) -> Settings:
    described = {PREFIX + "CONTROL_URL", PREFIX + "CONTROL_URL_FILE"} & os.environ.keys()
    if data is None and described:
        return load(Settings)
    # the embedded stack is an extra: an installation on servers of its own does not have it
    from mailrecall.embedded import state  # noqa: PLC0415
    from mailrecall.embedded.folder import DataFolder  # noqa: PLC0415

    return state.read(DataFolder((data or Path(".mailrecall")).absolute())).settings()
