"""The data folder: what it is known by, who may use it, and where in it things lie."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TextIO

from mailrecall.embedded import postgres
from mailrecall.embedded.errors import EmbeddedError

FORMAT = 1
"""The layout of the folder; another number is another layout."""

DEFAULT_SHARDS = 4

_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Marker:
    """What the folder says of itself."""

    format: int
    postgresql: int
    identity: str
    shards: int
    postgres_folder: str | None = None
    """Where PostgreSQL's data lies if its user cannot reach it in here."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A data folder, by its absolute path."""

    path: Path

    @property
    def marker_file(self) -> Path:
        """The file that makes a folder a data folder."""
        return self.path / "mailrecall.json"

    @property
    def state_file(self) -> Path:
        """What runs now, for `mailrecall status` and for whoever connects."""
        return self.path / "run" / "state.json"

    @property
    def run(self) -> Path:
        """One file for each running process."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """One file for each process, and the supervisor's own."""
        return self.path / "logs"

    @property
    def valkey(self) -> Path:
        """The broker's configuration."""
        return self.path / "valkey"

    @property
    def tls(self) -> Path:
        """The stack's own certificate and its key."""
        return self.path / "tls"

    @property
    def beat_schedule(self) -> Path:
        """Where Celery's beat notes what it started when."""
        return self.path / "run" / "beat-schedule"

    @property
    def metrics(self) -> Path:
        """Where the services count together; emptied when they start."""
        return self.path / "run" / "metrics"

    def log_of(self, process: str) -> Path:
        """Return a process's log file."""
        return self.logs / f"{process}.log"

    @contextmanager
    def opened(self, shards: int | None) -> Iterator[Marker]:
        """Take the folder for this process alone, making it if it is not there.

        Args:
            shards: how many are wanted; None: as many as there are, or four.

        Raises:
            EmbeddedError: the folder is somebody else's, of another version, in use, or cannot be written.
        """
        with ExitStack() as stack:
            try:
                self._make()
                lock = stack.enter_context((self.path / _LOCK).open("a+", encoding="ascii"))
                self._take(lock)
                marker = self._marked(shards)
                for folder in (self.run, self.logs, self.path / "secrets"):
                    folder.mkdir(mode=0o700, exist_ok=True)
            except PermissionError as error:
                raise EmbeddedError(f"{error.filename} cannot be written by this user: {error.strerror}.") from error
            except OSError as error:
                raise EmbeddedError(
                    f"{error.filename or self.path} cannot be made or written: {error.strerror}. "
                    "Name another folder with --data."
                ) from error
            yield marker

    def read_marker(self) -> Marker:
        """Read what the folder says of itself.

        Raises:
            EmbeddedError: it is no data folder, or one of another version.
        """
        try:
            values = json.loads(self.marker_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise EmbeddedError(f"{self.path} is not a data folder of Mail Recall.") from None
        except PermissionError:
            raise EmbeddedError(f"{self.path} belongs to another user; only that user can use it.") from None
        except ValueError:
            raise EmbeddedError(f"{self.marker_file} is damaged: it is not JSON.") from None
        found = values.get("format") if isinstance(values, dict) else None
        if found != FORMAT:
            raise EmbeddedError(
                f"{self.path} was made by another version of Mail Recall (its format is {found}, this version reads "
                f"{FORMAT}). Use that version, or another folder with --data."
            )
        if values.get("postgresql") != postgres.MAJOR:
            raise EmbeddedError(
                f"{self.path} holds data of PostgreSQL {values.get('postgresql')}, and this version of Mail Recall "
                f"runs PostgreSQL {postgres.MAJOR}. Use the version that made it, or another folder with --data."
            )
        try:
            return Marker(**values)
        except TypeError:
            raise EmbeddedError(f"{self.marker_file} is damaged: it does not say what it should.") from None

    def write_marker(self, marker: Marker) -> None:
        """Note what the folder is."""
        write_private(self.marker_file, json.dumps(asdict(marker), indent=2) + "\n")

    def secret(self, name: str) -> str:
        """Return a random password that is made once and kept."""
        file = self.secret_file(name)
        if not file.exists():
            write_private(file, secrets.token_urlsafe(24))
        return file.read_text(encoding="utf-8").strip()

    def secret_file(self, name: str) -> Path:
        """Return where a secret lies, readable by this user only."""
        return self.path / "secrets" / name

    def _make(self) -> None:
        if self.path.is_dir():
            strangers = {entry.name for entry in self.path.iterdir()} - {_LOCK}
            if strangers and not self.marker_file.exists():
                raise EmbeddedError(
                    f"{self.path} holds something else ({min(strangers)}, for one), so it is left alone. "
                    "Name a new or an empty folder with --data."
                )
            return
        try:
            self.path.mkdir(parents=True)
        except (FileExistsError, NotADirectoryError):
            raise EmbeddedError(f"{self.path} is not a folder. Name another one with --data.") from None
        # started by root, PostgreSQL runs as somebody else and must pass through; all that lies inside stays closed
        self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)

    def _take(self, lock: TextIO) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise EmbeddedError(
                f"{self.path} is in use by another `mailrecall up` (process {lock.read().strip() or 'unknown'}). "
                "Stop that one, or name another folder with --data."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()

    def _marked(self, shards: int | None) -> Marker:
        if not self.marker_file.exists():
            count = DEFAULT_SHARDS if shards is None else shards
            marker = Marker(FORMAT, postgres.MAJOR, secrets.token_hex(6), count)
            self.write_marker(marker)
            return marker
        marker = self.read_marker()
        owner = self.marker_file.stat().st_uid
        if owner != os.geteuid():
            raise EmbeddedError(
                f"{self.path} belongs to the user with id {owner}, and this is the user with id {os.geteuid()}. "
                "Start as that user, or name another folder with --data."
            )
        if shards is not None and shards < marker.shards:
            raise EmbeddedError(
                f"{self.path} has mailboxes on {marker.shards} shards, which cannot become {shards}: "
                "leave --shards out, or name a higher number to add shards."
            )
        if shards is not None and shards > marker.shards:
            marker = replace(marker, shards=shards)
            self.write_marker(marker)
        return marker


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    growing = file.with_name(file.name + ".new")
    growing.unlink(missing_ok=True)
    growing.touch(mode=0o600)
    growing.write_text(text, encoding="utf-8")
    growing.replace(file)
