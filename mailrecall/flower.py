"""Flower, set up for this house's operators: `python -m mailrecall.flower`.

It shows workers, queues and tasks with their arguments, which are ids and numbers only (R23): a recall's tasks bear its
`recall_id`. It only shows: work comes from the outbox, and a task that somebody sends by hand would do nothing.
"""

import os
import sys
from typing import NoReturn

from pydantic import Field, ValidationInfo, field_validator

from mailrecall import logs
from mailrecall.broker import celery_app
from mailrecall.settings import PREFIX, Settings, SettingsError, load

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_COLUMNS = "name,kwargs,state,received,started,runtime,worker,uuid"


class FlowerSettings(Settings):
    """Settings of the operators' view."""

    flower_bind: str = Field("127.0.0.1:5555", description="host:port that Flower listens on.")
    flower_login: str = Field(
        "",
        validate_default=True,
        description="name:password that Flower asks for; empty: it asks for none, and listens on this machine only.",
    )

    @field_validator("flower_bind")
    @classmethod
    def _place(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) < 65536):  # noqa: PLR2004 - the highest port
            raise ValueError("must be host:port")
        return value

    @field_validator("flower_login")
    @classmethod
    def _asked_for(cls, value: str, info: ValidationInfo) -> str:
        name, colon, password = value.partition(":")
        if value and not (name and colon and password and "," not in value):
            raise ValueError("must be name:password, without a comma")
        bind = info.data.get("flower_bind", "")
        if not value and bind.rpartition(":")[0] not in _LOOPBACK:
            raise ValueError(f"is required where {PREFIX}FLOWER_BIND is no loopback address")
        return value


def main() -> NoReturn:
    """Run Flower until SIGTERM or SIGINT."""
    try:
        settings = load(FlowerSettings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    logs.configure(settings)
    if settings.flower_login:
        # arguments show in process lists; the environment of a process does not
        os.environ["FLOWER_BASIC_AUTH"] = settings.flower_login
    host, _, port = settings.flower_bind.rpartition(":")
    app = celery_app("flower", settings)
    command = [
        "flower",
        f"--address={host.strip('[]')}",
        f"--port={port}",
        f"--tasks_columns={_COLUMNS}",
        # workers that went away for good, as after an upgrade
        "--purge_offline_workers=300",
        "--max_tasks=20000",
        "--read_only=True",
    ]
    # it ends the process itself
    sys.exit(app.start(command))


if __name__ == "__main__":
    main()
