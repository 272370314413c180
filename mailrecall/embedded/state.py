"""What a running stack tells other programs on this machine: its addresses, and where its settings are."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import psutil

from mailrecall.embedded.errors import EmbeddedError
from mailrecall.embedded.folder import DataFolder, write_private
from mailrecall.embedded.ports import Ports
from mailrecall.embedded.records import Record
from mailrecall.settings import Settings, load

_SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A stack from its start to its end."""

    supervisor: Record
    ready: bool
    ports: Ports
    environment: Mapping[str, str]
    """What the services were started with; secrets are in the files it names."""

    def settings(self, inherited: Mapping[str, str] = os.environ) -> Settings:
        """Return the settings that the services run with."""
        return load(Settings, {**inherited, **self.environment})


def own_record() -> Record:
    """Return the record of this process, the supervisor."""
    me = psutil.Process()
    return Record(name=_SUPERVISOR, pid=me.pid, created=me.create_time(), starts=1, stop_signal=15, stop_timeout=120.0)


def write(folder: DataFolder, state: State) -> None:
    """Tell the world."""
    write_private(folder.state_file, json.dumps(asdict(state), indent=2) + "\n")


def read(folder: DataFolder) -> State:
    """Return what runs in a folder.

    Raises:
        EmbeddedError: nothing does, or it is not a data folder.
    """
    folder.read_marker()
    idle = EmbeddedError(f"Nothing runs in {folder.path}. Start it with: mailrecall up --data {folder.path}")
    try:
        values = json.loads(folder.state_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise idle from None
    except PermissionError:
        raise EmbeddedError(f"{folder.path} belongs to another user.") from None
    state = State(
        supervisor=Record(**values["supervisor"]),
        ready=values["ready"],
        ports=Ports(**values["ports"]),
        environment=values["environment"],
    )
    if state.supervisor.process() is None:
        raise idle
    return state


def remove(folder: DataFolder) -> None:
    """Tell the world that it is over."""
    folder.state_file.unlink(missing_ok=True)
